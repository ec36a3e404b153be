-- SPDX-License-Identifier: Apache-2.0
-- Promotional credit pays what was used on a line, and nothing of what disputes and refunds left owing (purchase.debt): where a dispute
-- is won its money comes back as paid credit, which promotional credit must not become. Whoever walks through all of them goes on after
-- the last one, so that one which cannot be paid keeps no other waiting.
drop function orgs_in_debt(integer);
create function orgs_in_debt(after bigint, at_most integer) returns table (org bigint)
    language sql stable security definer set search_path = public as $$
    select d.org from account d
    cross join lateral (
        select d.debits - d.credits - case when d.line is null then 0 else
                   (select coalesce(sum(e.credits - e.debits), 0) from account e where e.org = d.org and e.kind = 3) end as owed,
               (select coalesce(sum(p.debt), 0) from purchase p where p.org = d.org and p.debt > 0) as debt) o
    where d.kind = 4 and d.org > after and o.owed > 0
      and exists (select 1 from account c where c.org = d.org and c.credits > c.debits
                    and (c.kind = 1 or c.kind = 2 and d.line is not null and o.owed > o.debt))
    order by d.org limit at_most $$;
revoke all on function orgs_in_debt(bigint, integer) from public;
