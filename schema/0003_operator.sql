-- SPDX-License-Identifier: Apache-2.0
-- What an operator may see across organizations. The control plane's role sees one organization at a time; the list of all is a
-- function with just these columns.
create function org_list(after bigint, at_most integer)
    returns table (org bigint, name text, frozen boolean, created_at timestamptz, balance bigint)
    language sql stable security definer set search_path = public as $$
    select o.org, o.name, o.frozen, o.created_at,
           coalesce((select sum(a.credits - a.debits)::bigint from account a where a.org = o.org and a.kind in (1, 2, 3)), 0)
    from org o where o.org > after order by o.org limit at_most $$;
revoke all on function org_list(bigint, integer) from public;
