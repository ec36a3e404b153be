-- SPDX-License-Identifier: Apache-2.0
-- The roles of a database server that is to hold Bourse; run as its superuser, as often as you like. Nobody has a password:
-- deploy/pg_ident.conf says which system user is which role. What a role may do is schema/roles.sql, applied by `migrate`.
-- One statement a line, because a private PostgreSQL runs this file in its single-user mode.
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bourse_owner') THEN CREATE ROLE bourse_owner LOGIN; END IF; END $$;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bourse_ledger') THEN CREATE ROLE bourse_ledger LOGIN; END IF; END $$;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bourse_ledger_api') THEN CREATE ROLE bourse_ledger_api LOGIN; END IF; END $$;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bourse_catalog') THEN CREATE ROLE bourse_catalog LOGIN; END IF; END $$;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bourse_catalog_api') THEN CREATE ROLE bourse_catalog_api LOGIN; END IF; END $$;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bourse_usage') THEN CREATE ROLE bourse_usage LOGIN; END IF; END $$;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bourse_usage_api') THEN CREATE ROLE bourse_usage_api LOGIN; END IF; END $$;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bourse_reader') THEN CREATE ROLE bourse_reader LOGIN; END IF; END $$;
