-- SPDX-License-Identifier: Apache-2.0
-- What an operator decides about prices and holds, where somebody else computes with it.

-- A price with a margin is a row of its own that names the list price it was made from: customers are charged by it, the provider is
-- owed by the list price, and both figures can be computed again for ever. Every class of it is round half up of the list price's times
-- (10000 + margin_basis_points) / 10000, fixed when the row is made. All rows from before are list prices.
alter table price
    add column list integer references price,
    add column margin_basis_points integer not null default 0 check (margin_basis_points between 0 and 10000),
    add constraint price_list check ((list is null) = (margin_basis_points = 0));

-- The operator's wish, which outlasts a new list price; a provider's is what endpoints that come later begin with.
alter table endpoint
    add column margin_basis_points integer not null default 0 check (margin_basis_points between 0 and 10000);
alter table provider
    add column margin_basis_points integer not null default 0 check (margin_basis_points between 0 and 10000);
