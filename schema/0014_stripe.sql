-- SPDX-License-Identifier: Apache-2.0
-- Purchases by Stripe. A purchase is a row before anything is asked of Stripe, and what Stripe says about it is posted as the difference
-- between its figures and what these rows say was posted already, under a lock of the purchase's row. So an event that comes twice, late
-- or in the wrong order moves nothing more. States: pending (a row, nothing asked yet), unknown (asked, no answer came), open (a session
-- waits for the customer), paid, cancelled.
alter table purchase
    drop constraint purchase_method_check,
    drop constraint purchase_state_check,
    add constraint purchase_method_check check (method in ('manual', 'stripe')),
    add constraint purchase_state_check check (state in ('pending', 'unknown', 'open', 'paid', 'cancelled')),
    add column session          text,
    add column session_url      text,
    add column payment_intent   text,
    add column refunded_cents   bigint not null default 0 check (refunded_cents >= 0),      -- of the credit; the fee is kept
    add column disputed_cents   bigint not null default 0 check (disputed_cents >= 0),      -- what Stripe has withdrawn for disputes
    add column dispute_fee_cents bigint not null default 0,
    add column clawed_cents     bigint not null default 0 check (clawed_cents >= 0),        -- of that: taken from the customer
    add column debt             bigint not null default 0 check (debt >= 0),                -- nano-dollars of it that were spent already
    add column look_at          timestamptz,                                                -- when to ask Stripe next; null: its events suffice
    add constraint purchase_takes_back_what_it_gave check (refunded_cents + clawed_cents <= credited_cents);
create unique index purchase_by_session on purchase (org, session);
create unique index purchase_by_intent on purchase (org, payment_intent);
create index purchase_of_session on purchase (session) where session is not null;
create index purchase_of_intent on purchase (payment_intent) where payment_intent is not null;
create index purchase_due on purchase (look_at) where look_at is not null;

-- A refund takes the credit first (credit → refund_pending) and leaves it there until Stripe has paid or refused. Those that Stripe made
-- by itself (its dashboard) appear here when they are seen.
create table purchase_refund (
    org             bigint not null references org,
    id              text not null,
    purchase        text not null,
    origin          text not null check (origin in ('customer', 'operator', 'stripe')),
    amount_cents    bigint not null check (amount_cents > 0),
    credit_cents    bigint not null check (credit_cents between 0 and amount_cents), -- of it: taken from the customer; the rest is fee
    state           text not null check (state in ('pending', 'unknown', 'succeeded', 'failed')),
    stripe_refund   text,
    created_at      timestamptz not null default now(),
    done_at         timestamptz,
    primary key (org, id),
    foreign key (org, purchase) references purchase (org, id)
);
create unique index purchase_refund_of_stripe on purchase_refund (org, stripe_refund);
create unique index purchase_refund_in_flight on purchase_refund (org, purchase) where state in ('pending', 'unknown');

-- Events of Stripe that were taken. Not a tenant's table: whose event it is comes out only when it is looked at.
create table stripe_event (
    id              text primary key check (length(id) between 1 and 255),
    type            text not null,
    object          text not null,
    org             bigint,                         -- null: about nothing of ours
    purchase        text,
    seen_at         timestamptz not null default now()
);

alter table purchase_refund enable row level security;
create policy own_rows on purchase_refund using (org in (0, current_org()));

-- The control plane's role sees one organization at a time; whose a payment is, and what is due, are functions with just these columns.
create function purchase_of_payment(of_session text, of_intent text) returns table (org bigint, id text)
    language sql stable security definer set search_path = public as $$
    select p.org, p.id from purchase p where p.session = of_session
    union
    select p.org, p.id from purchase p where p.payment_intent = of_intent
    limit 1 $$;
create function purchases_due(at_most integer) returns table (org bigint, id text)
    language sql stable security definer set search_path = public as $$
    select p.org, p.id from purchase p where p.look_at <= now() order by p.look_at limit at_most $$;
create function orgs_in_debt(at_most integer) returns table (org bigint)
    language sql stable security definer set search_path = public as $$
    select d.org from account d join account c on c.org = d.org and c.kind = 1
    where d.kind = 4 and d.debits > d.credits and c.credits > c.debits order by d.org limit at_most $$;
revoke all on function purchase_of_payment(text, text), purchases_due(integer), orgs_in_debt(integer) from public;
