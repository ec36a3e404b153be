-- SPDX-License-Identifier: Apache-2.0
-- The epoch to which the leases of a cell were moved last. `epoch` is raised when a ledger starts, and its leases follow when its
-- journal is posted; between the two, leases of the old epoch are as they should be.
alter table cell add column leases_epoch bigint not null default 0;
