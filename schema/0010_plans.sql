-- SPDX-License-Identifier: Apache-2.0
-- What an operator may decide about paid credit's life is the plan's, too: without a figure it never expires. The two plans that
-- stand here from the start are changed, and others made from them, by `bourse plan`.
alter table plan add column credit_expiry_days integer check (credit_expiry_days between 1 and 36500),
    add constraint plan_output check (output_default >= output_min);
