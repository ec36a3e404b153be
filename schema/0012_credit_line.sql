-- SPDX-License-Identifier: Apache-2.0
-- Accounts with a credit line instead of credit: what is used is owed, and paid by invoice afterwards. The line is a bound on the
-- receivable, so it stands on the receivable's row, where one CHECK keeps it. A lease moves receivable → escrow and its return
-- escrow → receivable, so the receivable counts what is lent to cells as well as what was used: no two cells can spend the same
-- dollar of the line. `over` is what a late charge or a lowered line had exceeded; no lease ever raises it.
alter table account
    add column line bigint check (line >= 0),       -- null: no credit line
    add column over bigint not null default 0 check (over >= 0),
    add constraint account_line_is_of_receivable check (line is null or kind = 4),
    add constraint account_line_is_kept check (line is null or debits - credits <= line + over);

alter table transfer drop constraint transfer_code_check, add constraint transfer_code_check
    check (code in ('purchase', 'purchase_fee', 'promo', 'lease', 'lease_return', 'settle', 'settle_late', 'provider_cost',
                    'absorbed', 'byok_fee', 'refund_hold', 'refund', 'refund_void', 'dispute', 'reinstatement', 'expiry',
                    'invoice_payment'));

-- What is leased on a line is no lot's.
create or replace function lots_leased(of_org bigint, of_kind smallint) returns bigint
    language sql stable security definer set search_path = public as $$
    select coalesce(sum(case of_kind when 2 then promo else rest - promo end), 0)::bigint
    from (select granted - settled - returned as rest,
                 least(granted - settled - returned, greatest(0, granted_promo - settled)) as promo
          from lease where org = of_org and meter = 0 and settled + returned < granted) l
    where not exists (select 1 from account where org = of_org and kind = 4 and line is not null) $$;

-- A balance is what is left less what is owed, here as in GET /api/v1/credits.
create or replace function org_list(after bigint, at_most integer)
    returns table (org bigint, name text, frozen boolean, created_at timestamptz, balance bigint)
    language sql stable security definer set search_path = public as $$
    select o.org, o.name, o.frozen, o.created_at,
           coalesce((select sum(a.credits - a.debits)::bigint from account a where a.org = o.org and a.kind in (1, 2, 3, 4)), 0)
    from org o where o.org > after order by o.org limit at_most $$;
