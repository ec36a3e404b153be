-- SPDX-License-Identifier: Apache-2.0
-- Every statement of the catalog, prepared by name, called only from store.c.

-- name: listen_market
listen market

-- ---- reading the whole market. The revision's row is locked first: no change can be committed between these reads,
-- because every change raises the revision.

-- name: market_revision
select revision from market

-- name: market_lock_shared
select revision from market for share

-- name: market_lock
select revision from market for update

-- name: providers_all
select p.id, p.slug, p.name, p.dialect, p.base_url, p.live, p.headquarters, p.privacy_policy_url,
       p.terms_of_service_url, p.status_page_url, k.version, k.sealed, k.label, p.base_url_override,
       p.margin_basis_points
  from provider p left join provider_key k on k.provider = p.id and k.org = 0
 order by p.slug collate "C"

-- name: models_all
select id, slug, name, description, created, context_length, output_max,
       array_to_string(input_modalities, ','), array_to_string(output_modalities, ','), tokenizer,
       array_to_string(supported_parameters, ','), knowledge_cutoff, to_char(deprecation_date, 'YYYY-MM-DD')
  from model
 order by slug collate "C"

-- name: prices_current
select t.price, t.above_prompt_tokens, t.prompt, t.cache_read, t.cache_write, t.cache_write_1h, t.audio_in, t.image_in,
       t.completion, t.reasoning, t.audio_out, t.image_out, t.request, t.web_search, coalesce(p.list, 0)
  from price_tier t join price p on p.id = t.price
 where exists (select from endpoint e where e.price = t.price)
    or exists (select from endpoint e join price of on of.id = e.price where of.list = t.price)
 order by t.price, t.above_prompt_tokens

-- name: price_read
select t.price, t.above_prompt_tokens, t.prompt, t.cache_read, t.cache_write, t.cache_write_1h, t.audio_in, t.image_in,
       t.completion, t.reasoning, t.audio_out, t.image_out, t.request, t.web_search, 0
  from price_tier t
 where t.price = $1
 order by t.above_prompt_tokens

-- name: endpoints_all
select e.id, e.model, e.provider, e.price, p.source, e.tag, e.upstream_model, e.quantization, e.context_length,
       e.output_max, e.disabled, e.responses_only, e.margin_basis_points
  from endpoint e join model m on m.id = e.model left join price p on p.id = e.price
 order by m.slug collate "C", e.id

-- ---- changes. Each answers the id of its row.

-- name: provider_insert
insert into provider (slug, name, dialect, base_url, headquarters, privacy_policy_url, terms_of_service_url, status_page_url)
values ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''), nullif($7, ''), nullif($8, ''))
returning id

-- name: provider_update
update provider
   set name = $2, dialect = $3, base_url = $4, headquarters = nullif($5, ''),
       privacy_policy_url = nullif($6, ''), terms_of_service_url = nullif($7, ''), status_page_url = nullif($8, ''),
       updated_at = now()
 where slug = $1
returning id

-- The operator's own address lasts until the next word about live or simulated.
-- name: provider_set_live
update provider
   set live = $2, base_url_override = nullif($3, ''), updated_at = now()
 where slug = $1
returning id

-- name: provider_key_put
insert into provider_key (org, provider, version, sealed, label)
values (0, $1, $2, $3, $4)
on conflict (org, provider) do update
   set version = excluded.version, sealed = excluded.sealed, label = excluded.label, created_at = now()

-- name: model_insert
insert into model (slug, name, description, created, context_length, output_max, input_modalities, output_modalities,
                   tokenizer, supported_parameters, knowledge_cutoff, deprecation_date, source_date)
values ($1, $2, $3, $4, $5, nullif($6::integer, 0), string_to_array($7, ','), string_to_array($8, ','), $9,
        string_to_array($10, ','), nullif($11, ''), nullif($12, '')::date, $13::date)
returning id

-- name: model_update
update model
   set name = $2, description = $3, created = $4, context_length = $5, output_max = nullif($6::integer, 0),
       input_modalities = string_to_array($7, ','), output_modalities = string_to_array($8, ','), tokenizer = $9,
       supported_parameters = string_to_array($10, ','), knowledge_cutoff = nullif($11, ''),
       deprecation_date = nullif($12, '')::date, source_date = $13::date, updated_at = now()
 where slug = $1
returning id

-- name: price_insert
insert into price (model, provider, source, source_date) values ($1, $2, $3, $4::date) returning id

-- What customers pay, made from a list price. Its source is that of the list price.
-- name: price_insert_marked
insert into price (model, provider, source, source_date, list, margin_basis_points)
select model, provider, source, source_date, id, $2::integer from price where id = $1
returning id

-- name: price_tier_insert
insert into price_tier (price, above_prompt_tokens, prompt, cache_read, cache_write, cache_write_1h, audio_in, image_in,
                        completion, reasoning, audio_out, image_out, request, web_search)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)

-- name: endpoint_insert
insert into endpoint (model, provider, tag, upstream_model, context_length, output_max, quantization, price, responses_only,
                      margin_basis_points)
values ($1, $2, $3, $4, $5, nullif($6::integer, 0), $7, nullif($8::integer, 0), $9, $10)
returning id

-- name: endpoint_update
update endpoint
   set upstream_model = $2, context_length = $3, output_max = nullif($4::integer, 0), quantization = $5, responses_only = $6,
       updated_at = now()
 where id = $1
returning id

-- name: endpoint_set_price
update endpoint set price = $2, updated_at = now() where id = $1 returning id

-- name: endpoint_set_margin
update endpoint set margin_basis_points = $2, updated_at = now() where id = $1 returning id

-- name: provider_set_margin
update provider set margin_basis_points = $2, updated_at = now() where id = $1 returning id

-- name: price_find_list
select id from price where model = $1 and provider = $2 and source <> 'operator' and list is null order by id desc limit 1

-- name: endpoint_set_disabled
update endpoint set disabled = $2, updated_at = now() where id = $1 and disabled <> $2 returning id

-- name: market_raise
update market set revision = revision + 1 returning revision

-- Sent with the commit: catalogs read the market anew, the ledger its prices.
-- name: notify
select pg_notify($1, $2)
