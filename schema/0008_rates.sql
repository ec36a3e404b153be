-- SPDX-License-Identifier: Apache-2.0
-- How fast may be asked. A key has limits of its own, an organization those of its plan per class of models: free ones (all prices
-- zero) and paid ones. null: no limit. Minutes and days are UTC's. What a minute has seen lives in the ledger's memory alone; the
-- requests of free models are counted here by day, a row per organization and day, so that a day outlives a restart and nothing is
-- ever reset.
alter table api_key
    add column requests_per_minute integer check (requests_per_minute > 0),
    add column tokens_per_minute integer check (tokens_per_minute > 0),
    add column concurrent_requests integer check (concurrent_requests > 0);

alter table plan
    add column paid_requests_per_minute integer check (paid_requests_per_minute > 0),
    add column paid_tokens_per_minute integer check (paid_tokens_per_minute > 0),
    add column paid_concurrent_requests integer check (paid_concurrent_requests > 0),
    add column free_requests_per_minute integer default 20 check (free_requests_per_minute > 0),
    add column free_tokens_per_minute integer check (free_tokens_per_minute > 0),
    add column free_concurrent_requests integer check (free_concurrent_requests > 0),
    add column free_requests_per_day integer default 50 check (free_requests_per_day > 0),
    add column free_requests_per_day_bought integer default 1000 check (free_requests_per_day_bought > 0),
    -- once this much credit was bought in all, the second figure counts
    add column free_bought_nano bigint not null default 10000000000 check (free_bought_nano >= 0);

create table free_requests (
    org             bigint not null check (org > 0),
    day             integer not null,               -- days since 1970-01-01 of the hold
    requests        bigint not null check (requests > 0), -- admitted, however they ended
    primary key (org, day)
) with (fillfactor = 60);
create index free_requests_by_day on free_requests (day);
alter table free_requests enable row level security;
create policy own_rows on free_requests using (org = current_org());

-- What an organization may ask of free models in a day; null: no limit.
create function free_requests_per_day(of_org bigint) returns integer language sql stable as $$
    select case when (select coalesce(sum(credited_cents), 0) * 10000000 from purchase where org = of_org) >= p.free_bought_nano
                then p.free_requests_per_day_bought else p.free_requests_per_day end
    from org o join plan p on p.id = o.plan where o.org = of_org $$;
