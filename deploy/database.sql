-- Run once by whoever may create roles, with the password in the environment:
-- ROOM_PASSWORD=… psql --no-psqlrc --set=ON_ERROR_STOP=1 --file=database.sql postgres
\getenv password ROOM_PASSWORD
CREATE ROLE room LOGIN PASSWORD :'password';
CREATE DATABASE rooms OWNER room ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT, TEMPORARY ON DATABASE rooms FROM PUBLIC;
