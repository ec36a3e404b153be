-- SPDX-License-Identifier: Apache-2.0
-- A new partition needs the default partition for itself, and so waits for every reader of generation, an audit above all; and
-- behind it waits whoever comes then, the poster too. It gives up after a moment instead, for days are made ahead and it is called
-- each hour; only when today's or tomorrow's is missing does it say so.
create or replace function generation_partitions_ensure() returns void language plpgsql security definer
    set search_path = public set lock_timeout = '200ms' as $$
declare
    today integer := extract(epoch from now())::bigint / 86400;
    d integer;
begin
    for d in today - 1 .. today + 7 loop
        if to_regclass('generation_' || d) is null then
            begin
                execute format('create table generation_%s partition of generation for values from (%s) to (%s)', d, d, d + 1);
            exception when lock_not_available then
                if d <= today + 1 then raise; end if;
                return;
            end;
        end if;
    end loop;
end $$;
