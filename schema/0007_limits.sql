-- SPDX-License-Identifier: Apache-2.0
-- Limits of members, workspaces and organizations beside those of keys: any number per owner, one per cadence.

create table member (
    org             bigint not null references org,
    id              bigint not null,                -- random
    name            text not null check (length(name) between 1 and 200),
    email           text not null default '' check (length(email) <= 254),
    created_at      timestamptz not null default now(),
    deleted_at      timestamptz,
    primary key (org, id)
);
alter table api_key add foreign key (org, member) references member (org, id);
alter table member enable row level security;
create policy own_rows on member using (org in (0, current_org()));

-- Meters of keys are numbered 4 · key + cadence, and keys are below 2⁵³. Those of other owners stand above 2⁶⁰, by owner, kind and
-- cadence; they are made with the first limit of their owner and never go.
create function owner_meter(owner_kind smallint, owner bigint, cadence smallint) returns bigint language sql immutable as
    $$ select (1::bigint << 60) + 16 * owner + 4 * (owner_kind - 2) + cadence $$;

-- since: the period in which a meter began; of earlier ones it may have counted a late part only. version: raised by any change of
-- its limit.
alter table meter add column since integer not null default 0, add column version bigint not null default nextval('caller_version_seq');

-- A new meter begins with what its owner's keys have spent. No batch may be posted between the sum and the commit, else it would be
-- missing: this waits for the batches in progress and stops the next ones. A function, because the control plane may not touch cursors.
create function posting_pause() returns void language sql security definer set search_path = public as
    $$ select 1 from stream order by cell, incarnation for share $$;
revoke all on function posting_pause() from public;
