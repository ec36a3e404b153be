-- SPDX-License-Identifier: Apache-2.0
-- Who an invoice is for. Empty: the organization's name, and nothing more.
alter table org
    add column billing_name text not null default '' check (length(billing_name) <= 200),
    add column billing_address text not null default '' check (length(billing_address) <= 500),
    add column tax_id text not null default '' check (length(tax_id) <= 60);

-- What a monthly statement tells besides purchases and usage; leases and settlements, the great many, are not in it.
create index transfer_by_month on transfer (org, at)
    where code in ('promo', 'expiry', 'refund', 'dispute', 'reinstatement', 'invoice_payment');
