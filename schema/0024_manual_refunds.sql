-- SPDX-License-Identifier: Apache-2.0
-- A customer's refund of a manual purchase waits in refund_pending until an operator says that he paid the money back, or why he did not.
alter table purchase_refund
    add column reference text, -- of a refund that was paid: the operator's note
    add column reason    text, -- of one that was not: what the customer is told
    add constraint purchase_refund_reason check (reason is null or state = 'failed');
create index purchase_refund_of_purchase on purchase_refund (org, purchase, created_at);

-- What waits for an operator, the oldest first; what is paid by Stripe waits for Stripe. The control plane's role sees one organization
-- at a time.
create function refunds_waiting(skipped integer, at_most integer)
    returns table (org bigint, id text, purchase text, amount_cents bigint, origin text, created_at timestamptz, purchase_reference text)
    language sql stable security definer set search_path = public as $$
    select r.org, r.id, r.purchase, r.amount_cents, r.origin, r.created_at, p.reference
    from purchase_refund r join purchase p on p.org = r.org and p.id = r.purchase
    where r.state = 'pending' and p.method = 'manual'
    order by r.created_at, r.org, r.id offset skipped limit at_most $$;
revoke all on function refunds_waiting(integer, integer) from public;
