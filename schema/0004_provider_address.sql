-- SPDX-License-Identifier: Apache-2.0
-- An operator's own address of a live provider stands beside the address that the catalog knows, not in its place: going back needs
-- no catalog file. A simulated provider has none.
alter table provider add column base_url_override text
    check (base_url_override ~ '^https?://'),
    add constraint provider_override_is_live check (base_url_override is null or live);

-- Until now the one column held whichever was last given. A live provider goes on being called where it is called today; the next
-- catalog file brings the other address back.
update provider set base_url_override = base_url where live;
