-- SPDX-License-Identifier: Apache-2.0
-- Requests with a customer's own provider key. So many of a month are free, in requests or in nano-dollars of list price, as the
-- plan says; on the rest there is a fee. What is free is leased to cells like room under a limit: it is a meter of the organization
-- and month in meter_period and lease. It has no row in meter, for its limit is the plan's: read there with each lease, so that a
-- change of the plan, or of which plan it is, cannot be out of step with a copy. Each unit has a meter of its own, and a plan that
-- changes its unit begins a month's allowance in the other one.
create function allowance_meter(of_org bigint, unit text) returns bigint language sql immutable as
    $$ select (1::bigint << 60) + 16 * of_org + case unit when 'requests' then 12 else 13 end $$; -- above those of owner_meter()
create function meter_is_allowance(meter bigint) returns boolean language sql immutable as
    $$ select meter >= 1::bigint << 60 and meter & 15 >= 12 $$;
create function allowance_limit(of_org bigint, meter bigint) returns bigint language sql stable as $$
    select case when meter = allowance_meter(o.org, p.byok_unit) then p.byok_allowance else 0 end
    from org o join plan p on p.id = o.plan where o.org = of_org $$;

-- Raised by any change of the plan; no two plans ever have the same.
alter table plan add column version bigint not null default nextval('caller_version_seq');

-- A limit counts the list price of such requests, too, where include_byok says so; a copy of the meter's, as limit_nano is.
alter table meter_period add column include_byok boolean not null default false,
    drop constraint meter_period_check,
    add constraint meter_period_limit_is_kept
        check (limit_nano is null or spent + case when include_byok then byok_spent else 0 end + leased <= limit_nano + over);

-- Of such a request the row says what the fee follows from: charge = fee on the part of byok_list that is not free. Rows that stand
-- get zeros without being written, and are not read for the check either, of which there may be billions.
alter table generation
    add column byok_unit smallint not null default 0,               -- 0 not such a request, 1 requests, 2 list price
    add column byok_fee_basis_points integer not null default 0,
    add column byok_list bigint not null default 0,                 -- its list price; 0 where it was not settled
    add column byok_units bigint not null default 0,                -- of the allowance that it took
    add constraint generation_byok check (byok_unit in (0, 1, 2) and byok_fee_basis_points >= 0 and byok_list >= 0 and byok_units >= 0)
        not valid;
