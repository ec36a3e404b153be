-- SPDX-License-Identifier: Apache-2.0
-- From when to when an account had a credit line. What was held within such a span is due by invoice, all else was paid from credit; a
-- month may have both, and one that is over stays what it was.
create table credit_line_span (
    org             bigint not null references org,
    begun_at        timestamptz not null,
    ended_at        timestamptz check (ended_at >= begun_at), -- null: the line stands
    primary key (org, begun_at)
);
create unique index credit_line_span_stands on credit_line_span (org) where ended_at is null;
alter table credit_line_span enable row level security;
create policy own_rows on credit_line_span using (org in (0, current_org()));

-- Of lines from before, the books tell the first lease since credit last came in; the hold that asked for it is a little older.
insert into credit_line_span (org, begun_at)
select a.org, coalesce((select min(l.at) from transfer l
                        where l.org = a.org and l.code = 'lease' and l.debit_kind = 4
                          and l.at > coalesce((select max(c.at) from transfer c
                                               where c.org = a.org and c.code in ('purchase', 'promo') and c.credit_kind in (1, 2)),
                                              '-infinity')) - interval '1 minute', now())
from account a where a.kind = 4 and a.line is not null;
