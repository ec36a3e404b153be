-- SPDX-License-Identifier: Apache-2.0
-- Every statement of the usage service, run as bourse_usage_api: it reads one organization at a time and changes nothing.

-- The hold's row first, then what was corrected later.
-- name: find_generation
select g.part, g.created_ns, g.state, g.reason, g.charge_told, g.charge, g.held, g.provider_cost, g.flags, g.finish,
       g.prompt, g.cache_read, g.cache_write, g.cache_write_1h, g.audio_in, g.image_in,
       g.completion, g.reasoning, g.audio_out, g.image_out, g.request, g.web_search,
       g.first_byte_ms, g.total_ms, g.native_finish, g.upstream_id, g.referer, g.title, g.user_agent, g.session,
       g.attempts, g.workspace, g.price, m.slug, p.name, g.byok_unit <> 0, g.byok_list
from generation g left join model m on m.id = g.model left join provider p on p.id = g.provider
where g.org = $1 and g.day = $2 and g.cell = $3 and g.incarnation = $4 and g.hold = $5
order by g.part

-- name: list_names
select e.id, p.name, m.slug from endpoint e join provider p on p.id = e.provider join model m on m.id = e.model
where e.id = any ($1::bigint[])

-- The present stream of a cell, and the hold below which all of it is posted. Older streams get no more rows.
-- name: find_stream
select s.incarnation, coalesce((select b.hold_floor from batch b where b.cell = s.cell and b.incarnation = s.incarnation
                                order by b.lo desc limit 1), 1)
from stream s where s.cell = $1 order by s.incarnation desc limit 1
