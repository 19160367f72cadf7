-- Names that look alike count as the same name: what was kept by the old form is brought up to
-- date. The form of names in ASCII is as it was. skeleton() is given by whoever runs this.

UPDATE rooms SET name_key = skeleton(json_extract(state, '$.name'))
 WHERE name_key GLOB '*[^ -~]*' AND state IS NOT NULL;

-- By the member's name, as long as its row is found by the old form.
UPDATE OR IGNORE keys
   SET sender = skeleton(coalesce(
           (SELECT name FROM members
             WHERE members.room_no = keys.room_no AND members.skeleton = keys.sender),
           sender))
 WHERE sender GLOB '*[^ -~]*';

-- Two members of one room that count as the same now: the first keeps the form of both, the other
-- its old one, as the state of the room is read too.
UPDATE members SET skeleton = skeleton(name)
 WHERE skeleton GLOB '*[^ -~]*'
   AND NOT EXISTS (
       SELECT 1 FROM members AS other
        WHERE other.room_no = members.room_no
          AND other.name <> members.name
          AND skeleton(other.name) = skeleton(members.name)
          AND (other.skeleton = skeleton(members.name) OR other.skeleton < members.skeleton));
