// The client of the TypeScript SDK: of its package for clients, or of the one before it was split.

import { createInterface } from "node:readline";

const SPLIT = ["@modelcontextprotocol/client", "@modelcontextprotocol/client/stdio"];
const WHOLE = ["index", "stdio", "streamableHttp", "sse"].map(
  (part) => `@modelcontextprotocol/sdk/client/${part}.js`,
);

const all = (modules) => Promise.all(modules.map((module) => import(module)));
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

const sdk = Object.assign({}, ...(await all(SPLIT).catch(() => all(WHOLE))));

function transportOf({ transport, url, ...server }) {
  switch (transport) {
    case "stdio":
      return new sdk.StdioClientTransport(server);
    case "sse":
      return new sdk.SSEClientTransport(new URL(url));
    default:
      return new sdk.StreamableHTTPClientTransport(new URL(url));
  }
}

// The newest protocol that both know; the SDK before the split knows no such option, and only
// the protocol that begins with initialize.
const options = { versionNegotiation: { mode: "auto" } };
const client = new sdk.Client({ name: "typescript-sdk", version: "1" }, options);
await client.connect(transportOf(JSON.parse(process.argv[2])));

say({ tools: (await client.listTools()).tools.map((tool) => tool.name).sort() });
for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  const result = await client.callTool({ name: wanted.tool, arguments: wanted.arguments });
  say({
    shown: result.content.map((block) => block.text ?? JSON.stringify(block)).join("\n"),
    refused: result.isError === true,
  });
}
await client.close();
