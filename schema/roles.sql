-- SPDX-License-Identifier: Apache-2.0
-- The grant matrix: who may do what to which table. Applied after every migration; run as the owner. What is not listed is
-- refused. Nobody but the owner may change the schema; nobody at all may change a transfer, a generation, a batch or a price.

revoke all on all tables in schema public from public, bourse_ledger, bourse_ledger_api, bourse_catalog, bourse_catalog_api,
    bourse_usage, bourse_usage_api, bourse_reader;
revoke create on schema public from public;
grant usage on schema public to bourse_ledger, bourse_ledger_api, bourse_catalog, bourse_catalog_api, bourse_usage,
    bourse_usage_api, bourse_reader;

-- ledger: the poster and the leases see every organization
grant select, insert on transfer, generation, batch, suspense to bourse_ledger;
grant select, insert, update on account, meter_period, lease, stream, cell, free_requests, key_use to bourse_ledger;
grant select on plan, org, workspace, api_key, key_place, meter, price, price_tier, endpoint, provider, model, purchase
    to bourse_ledger;
grant execute on function generation_partitions_ensure() to bourse_ledger;
grant select on lot to bourse_ledger;
grant execute on function lots_expire(bigint, smallint) to bourse_ledger;

-- ledger's control plane: one organization at a time (row level security)
grant select, insert on transfer, idempotency, key_place to bourse_ledger_api;
grant update (ends_at) on key_place to bourse_ledger_api;
grant select, insert, update on org, workspace, api_key, member, account, meter, meter_period, purchase to bourse_ledger_api;
grant select on plan, lease, generation, stream, cell, free_requests, key_use, model to bourse_ledger_api;
grant insert, update on plan to bourse_ledger_api; -- an operator's, who comes over a socket of his own
grant usage on sequence caller_version_seq to bourse_ledger_api;
grant select, update (expires_at) on lot to bourse_ledger_api;
grant select, insert, update (uses, disabled) on promo_code to bourse_ledger_api;
grant select, insert on redemption to bourse_ledger_api;
grant execute on function lots_fold(bigint, smallint, bigint), lots_leased(bigint, smallint) to bourse_ledger_api;
grant execute on function org_list(bigint, integer), idempotency_prune(bigint), posting_pause() to bourse_ledger_api;
grant select, insert, update on purchase_refund, payment_card, auto_topup to bourse_ledger_api;
grant select, insert, update (ended_at) on credit_line_span to bourse_ledger_api;
grant select, insert on stripe_event, stripe_reconciliation to bourse_ledger_api;
grant execute on function purchase_of_payment(text, text), purchases_due(integer), orgs_in_debt(bigint, integer),
    topup_cents(bigint), topups_due(integer), refunds_waiting(integer, integer) to bourse_ledger_api;

-- catalog
grant select, insert, update on provider, model, endpoint, market to bourse_catalog, bourse_catalog_api;
grant select, insert on price, price_tier to bourse_catalog, bourse_catalog_api;
grant select, insert, update, delete on provider_key to bourse_catalog, bourse_catalog_api;

-- usage: reads only
grant select on generation, api_key, org, workspace, member, model, endpoint, provider, price, price_tier, stream, meter, meter_period,
    batch to bourse_usage, bourse_usage_api;

-- whoever audits reads everything but secrets and hashes
grant select on all tables in schema public to bourse_reader;
revoke select on provider_key, key_place, promo_code from bourse_reader;
grant select (id, label, amount, uses_max, uses, expires_at, credit_days, disabled, created_at) on promo_code to bourse_reader;

-- The services' own roles are not bound to one organization.
do $$
declare
    t text;
    r text;
begin
    foreach t in array array['org', 'workspace', 'member', 'api_key', 'account', 'transfer', 'meter', 'meter_period', 'lease', 'generation',
                             'purchase', 'purchase_refund', 'payment_card', 'auto_topup', 'credit_line_span', 'idempotency', 'free_requests', 'key_use', 'lot', 'redemption'] loop
        foreach r in array array['bourse_ledger', 'bourse_usage', 'bourse_reader'] loop
            execute format('drop policy if exists all_rows_%s on %I', r, t);
            execute format('create policy all_rows_%s on %I to %I using (true) with check (true)', r, t, r);
        end loop;
    end loop;
end $$;
