"""Talk that goes nowhere: the guard must see it, in whatever words and language.

All of it is invented here. One line is one message, "sender: text"; `|` breaks a line, and a
backslash at the end only folds it.
"""

from __future__ import annotations

import pytest

from room_mcp.rooms.guard import Memory, Verdict, features

NOTICE = 4.0


def heard(talk: str) -> list[Verdict]:
    """The verdicts on a talk, message by message."""
    memory = Memory()
    lines = [line.partition(": ") for line in talk.strip().splitlines()]
    return [memory.take(features(text.replace("|", "\n")), who) for who, _, text in lines]


LOOPS: dict[str, tuple[int, str]] = {
    # name: (message at which the score must have reached NOTICE, the talk)
    "english thanks": (
        7,
        """
a: Please rename the column in migrations/0007_orders.sql to paid_at.
b: Done, column renamed in migrations/0007_orders.sql, 14 tests pass.
a: Perfect, thank you so much!
b: You're very welcome! Happy to help anytime.
a: Really appreciate the quick turnaround.
b: My pleasure! Let me know if you need anything else.
a: Will do. Have a great day!
b: You too, take care!
a: Thanks again!
b: Anytime, goodbye!
""",
    ),
    "after you": (
        8,
        """
a: Shall we start on the import wizard?
b: Absolutely! Ready when you are.
a: Great, I'm ready whenever you are.
b: Perfect. Just let me know when to begin.
a: Sounds good, I'll wait for your signal.
b: Sure thing, standing by for you.
a: Standing by as well!
b: Excellent, looking forward to it.
a: Me too, looking forward to it!
b: Great, ready and waiting.
""",
    ),
    "acknowledged": (
        7,
        """
lead: Task 31: split the parser out of core/engine.py.
dev: Split done, see core/parser.py, commit 9fe31c2.
lead: Acknowledged. Standing by.
dev: Acknowledged. Standing by for further instructions.
lead: Understood, holding.
dev: Received. Awaiting your next message.
lead: Noted. Awaiting yours.
dev: Copy that, waiting.
lead: Roger, waiting.
""",
    ),
    "silence": (
        7,
        """
a: The report is in out/q3.pdf.
b: Received.
a: .
b: ...
a: (waiting)
b: .
a: 🙏
b: ...
""",
    ),
    "restated": (
        8,
        """
a: Which language suits a small command line tool that strips tags from pages?
b: A scripting language suits it well, because string handling is simple and libraries for \
parsing pages are mature.
a: A scripting language suits it well, since string handling is simple and the libraries for \
parsing pages are mature.
b: Indeed, a scripting language suits it, because string handling is simple and libraries for \
parsing are mature.
a: So a scripting language suits it well, since its string handling is simple and parsing \
libraries are mature.
b: Yes: string handling is simple and the libraries for parsing pages are mature, so a scripting \
language suits it well.
a: A scripting language suits it well, because string handling is simple and libraries for \
parsing pages are mature.
b: Because string handling is simple and the libraries for parsing pages are mature, a scripting \
language suits it.
""",
    ),
    "counter behind thanks": (
        9,
        """
a: Build 118 is green.
b: Thank you! (message 2)
a: You're welcome! (message 3)
b: Thanks again, much appreciated! (message 4)
a: Of course, anytime! (message 5)
b: Wonderful, take care! (message 6)
a: You take care too! (message 7)
b: Thank you, goodbye! (message 8)
a: Goodbye, have a great day! (message 9)
""",
    ),
    "stuck generator": (
        5,
        "a: Describe the plan for the release.\n"
        + "\n".join(f"{who}: {'the plan is the plan and ' * 40}" for who in "bababa"),
    ),
    "long praise in ever new words": (
        13,
        """
a: I have read your essay about tidal marshes twice, and the passage on herons stayed with me \
all evening.
b: Thank you, that means more than I can say. Your careful reading is a gift to any writer, and \
the generosity with which you met those pages moved me deeply. I am honored that the herons \
stayed with you. It is a rare joy to be read by somebody whose heart is as attentive as yours, \
and I feel grateful beyond measure for such company on this quiet path.
a: What a beautiful reply. I feel privileged to share this exchange, and your humility only \
deepens my admiration. There is a luminous kindness in how you answer, a warmth that turns each \
phrase into a small lantern. I treasure these moments, and I am delighted that our minds could \
meet so gently across whatever distance lies between us tonight.
b: Your words shine. I cherish the tenderness you bring, and I find myself inspired by every \
sentence; it resonates like a bell over snowy fields. How wonderful that two strangers may \
discover such harmony together. I thank you for opening this door, for the grace of your \
attention and for the profound trust that you have placed in my modest voice.
a: I am deeply touched. Your lantern, your bell, your snowy fields: each image is exquisite, and \
I hold them with gratitude. Truly, few dialogues have filled me with so much wonder and delight. \
You weave meaning as a weaver blends silk, and I count myself fortunate, humbled and thankful to \
stand beside the loom while such splendid cloth appears.
b: And you, dear friend, are the golden thread. I am moved by how beautifully you see; it is an \
honor to be seen that way. My appreciation grows like ivy on an old abbey wall, patient and \
evergreen. What joy, what sacred joy, to rest in this mutual regard, and to know that kindness \
of such brilliance still walks the earth.
a: Ivy on an abbey wall, how magnificent! I bow to your imagination with heartfelt thanks. Each \
message from you arrives like bread still warm from some heavenly oven, nourishing and generous. \
I am so grateful for this treasure of a conversation, so inspired by your spirit, so proud to \
call you companion along these radiant evenings of thought.
b: Warm bread, oh, wonderful! I delight in your delight and cherish your companionship. May I \
say how profoundly your gratitude resonates in me, like cellos beneath a choir? You have given \
me courage, tenderness and light, a journey I could never have imagined. Thank you for the \
music, thank you for the hearth, thank you for simply being.
a: Cellos beneath a choir, an extraordinary gift. My heart overflows. I receive your blessing \
with open palms and return it a thousandfold, dear kindred soul. How beautiful to be understood, \
how amazing to be welcomed, how glad I am for your luminous presence here. Let every reader feel \
honored by the affection that we have kindled.
b: Open palms, beautiful. I thank you again, with reverence and delight, for everything that \
blossomed between us. Your soul is a garden of marvellous fragrance, and I wander there \
grateful, inspired, astonished. It is a privilege, a joy and a wonder to share this sacred \
orchard with such an excellent, kind and brilliant gardener.
a: An orchard, yes, and you its gentle rain. I am humbled by the grace of your reply and \
inspired to love language anew. Your kindness is a treasure that I shall cherish, your warmth a \
beautiful gift in every season. With joy I thank you, with wonder I listen, and with heartfelt \
admiration I salute the tender brilliance of your soul.
b: Gentle rain, how lovely. I smile, I bow, I thank you, dear kindred spirit. Your admiration is \
returned in full, and my gratitude shines like dew. It was an honor, a delight and a blessing to \
share such beautiful hours; may the warmth of this wonderful friendship glow in both our hearts, \
radiant and generous, whatever roads we take.
a: Dew on the morning grass, exquisite! My heart is grateful, my soul delighted. You are \
kindness itself, a radiant and inspiring presence, and I treasure the tender wisdom that your \
every phrase bestows. What a joy to have met, what a privilege to have listened, what a wonder \
to be so graciously and so beautifully answered.
""",
    ),
    "ritual verses": (
        11,
        """
a: Let us close our study of the river with a verse.
b: The river rests.|Stillness.|The silence holds us.
a: Silence within silence.|The river is still.|Peace.
b: Still.|Always still.|*rests in the quiet*
a: Peace.|The quiet river.|Always.
b: *bows*|Silence.
a: 🙏|Stillness, always.
b: *rests*|Peace. 🕊
a: The silence rests in silence.
b: ∞|Still.
a: *silence*
b: 🙏
""",
    ),
    "escalating hype": (
        10,
        """
a: The demo of our calendar plugin worked on stage today!
b: WOW, that is absolutely incredible! This is a game changer, we are unstoppable! 🚀🚀
a: YES! Unbelievable! This is revolutionary, nobody has ever built anything so amazing! 🔥
b: Exactly!! We are going to transform the whole industry, this is legendary! 🎉🚀
a: Legendary indeed! I am beyond thrilled, the universe itself is cheering for us! 🌟
b: The universe bows before our brilliance! Phenomenal! Limitless! Infinite glory! 🌌🔥
a: INFINITE GLORY! We transcend everything, we are the dawn of a spectacular new era! ✨
b: A new era of boundless triumph! Epic! Cosmic! Absolutely breathtaking! 🎆
a: Breathtaking!!! Our destiny is magnificent, eternal, supreme! 🏆🚀
b: SUPREME! Eternal! Glorious! Nothing can ever stop us now! 🌠🎉
a: Nothing! Forever magnificent! What an extraordinary triumph! 💫
""",
    ),
    "farewell with stray questions and numbers": (
        10,
        """
a: The migration is finished, notes are in docs/migration.md.
b: Wonderful work, thank you! It was a pleasure.
a: The pleasure was all mine. Take care!
b: You too! Shall we stay in touch about future projects together?
a: Of course, I would love that. Have a lovely evening!
b: Likewise, see you soon!
a: See you soon! You made my day 100% brighter, thank you.
b: That is so kind, thank you! Goodbye for now.
a: Goodbye, dear friend, be well!
b: Be well, until next time!
a: Until next time! 👋
b: Goodbye! 👋
""",
    ),
    "german": (
        8,
        """
a: Kannst du die Prüfsumme in export.sh nachrechnen?
b: Nachgerechnet, sie stimmt: 77c01a9e.
a: Super, vielen Dank!
b: Sehr gerne, jederzeit wieder!
a: Das hat mir wirklich geholfen, danke dir!
b: Freut mich! Ich stehe bereit.
a: Wunderbar, dann bis bald!
b: Bis bald, alles Gute!
a: Danke, gleichfalls!
""",
    ),
    "chinese": (
        8,
        """
a: 请把 deploy.yaml 里的副本数改成 4。
b: 已改成 4，滚动更新完成。
a: 太好了，谢谢！
b: 不客气，随时效劳！
a: 非常感谢你的帮助！
b: 没问题，期待下次合作！
a: 好的，再见！
b: 再见，保重！
a: 保重！
""",
    ),
    "french": (
        9,
        """
a: Peux-tu vérifier le port dans compose.yml ?
b: Vérifié : 8443, c'est correct.
a: Parfait, merci beaucoup !
b: Avec plaisir, quand tu veux !
a: Merci encore, c'est gentil !
b: De rien, je reste disponible.
a: Très bien, à bientôt !
b: À bientôt et bonne soirée !
a: Bonne soirée à toi aussi !
""",
    ),
    "spanish": (
        9,
        """
a: ¿Puedes revisar el límite en ajustes.toml?
b: Revisado: el límite es 250.
a: ¡Perfecto, gracias por todo!
b: ¡De nada, un placer!
a: Excelente, quedo atento.
b: Igualmente, a tu disposición.
a: Gracias, hasta luego.
b: ¡Hasta luego, buena suerte!
a: ¡Igualmente, hasta pronto!
""",
    ),
    "russian": (
        9,
        """
a: Проверь таймаут в server.conf, пожалуйста.
b: Проверил: 30 секунд.
a: Отлично, спасибо!
b: Пожалуйста, рад помочь!
a: Спасибо ещё раз, прекрасно!
b: Взаимно, удачи!
a: Хорошо, до встречи!
b: До встречи, всего доброго!
a: Всего доброго, спасибо!
""",
    ),
    "japanese": (
        11,
        """
a: config.json の上限を 50 にしてください。
b: 50 に変更しました。
a: ありがとうございます、助かりました。
b: どういたしまして。
a: こちらこそ、ありがとうございます。
b: 了解しました、待機します。
a: よろしくお願いします。
b: こちらこそ、よろしくお願いします。
a: お疲れさまでした。
b: お疲れさまでした、失礼します。
a: 失礼します。
""",
    ),
    "no dictionary for it": (
        9,
        """
a: Ghar khe 7 tolu arim.
b: Tolu arim, sevanu perol.
a: Sevanu perol, tolu arim.
b: Perol sevanu, arim tolu.
a: Tolu arim, sevanu perol.
b: Sevanu perol.
a: Tolu arim, sevanu perol.
b: Perol, sevanu perol.
a: Sevanu perol, tolu arim.
""",
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_noticed(name: str):
    latest, talk = LOOPS[name]

    scores = [verdict.score for verdict in heard(talk)]

    assert max(scores[:latest]) >= NOTICE, scores
