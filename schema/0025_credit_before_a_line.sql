-- SPDX-License-Identifier: Apache-2.0
-- A credit line is given to an account that has credit left, which a request's price leaves to the nano-dollar and no refund of whole
-- cents takes away. What is left pays the first of what is owed on the line, the promotional part first, which pays no other debt.
create or replace function orgs_in_debt(at_most integer) returns table (org bigint)
    language sql stable security definer set search_path = public as $$
    select d.org from account d
    where d.kind = 4
      and exists (select 1 from account c where c.org = d.org and c.credits > c.debits
                    and (c.kind = 1 or c.kind = 2 and d.line is not null))
      and d.debits - d.credits > case when d.line is null then 0 else
          (select coalesce(sum(e.credits - e.debits), 0) from account e where e.org = d.org and e.kind = 3) end
    order by d.org limit at_most $$;
