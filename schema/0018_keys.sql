-- SPDX-License-Identifier: Apache-2.0
-- A key can be given another secret. The new one's place joins that of the old one, which gets an end of its own; the one place
-- without an end is that of the key's hash. rotation: the Idempotency-Key of the rotation that made the secret, so that a repeat,
-- whose first answer was lost, replaces what was made and leaves the end of the old secret as it was.
alter table key_place
    add column ends_at timestamptz,
    add column rotation text check (length(rotation) between 1 and 255);
create unique index key_place_endless on key_place (org, key) where ends_at is null;
create index key_place_by_key on key_place (org, key);

-- When a key was last used and from where: the first use of each minute is noted. Of an address no more than its network fits in.
create table key_use (
    org             bigint not null check (org > 0),
    key             bigint not null,
    used_ns         bigint not null,                -- wall time
    prefix          cidr check (masklen(prefix) = case family(prefix) when 4 then 24 else 48 end), -- null: not known
    primary key (org, key)
) with (fillfactor = 60);
alter table key_use enable row level security;
create policy own_rows on key_use using (org = current_org());
