-- SPDX-License-Identifier: Apache-2.0
-- A dispute freezes the account while it is open. One that was lost keeps its figures for ever, and so it is told by Stripe's state of it
-- and not by them whether it is over. What an operator froze, he alone thaws.
alter table purchase add column dispute_open boolean not null default false;
alter table org add column operator_froze boolean not null default false,
    add constraint org_operator_froze check (frozen or not operator_froze);

-- Whether those from before are over, Stripe is asked at once.
update purchase set dispute_open = true, look_at = now() where disputed_cents > 0;
