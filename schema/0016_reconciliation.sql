-- SPDX-License-Identifier: Apache-2.0
-- Days whose movements at Stripe were compared with our purchases, one by one: what an event should have told and did not is found here.
create table stripe_reconciliation (
    day             date primary key,               -- UTC; this day and those before it
    movements       bigint not null check (movements >= 0),
    unknown         bigint not null check (unknown >= 0), -- payments that name a purchase which is not here
    done_at         timestamptz not null default now()
);
