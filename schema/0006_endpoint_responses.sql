-- SPDX-License-Identifier: Apache-2.0
-- Some models are answered by their provider on /responses only, not on /chat/completions. Until the edge speaks that, such an endpoint
-- works simulated and is not offered while its provider is live.
alter table endpoint add column responses_only boolean not null default false;
