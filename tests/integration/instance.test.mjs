// SPDX-License-Identifier: Apache-2.0
// An instance as its operator meets it: make up, make down, make audit, kill -9, a port that is taken. The instance lies below a
// path with a space. What it answers to customers is other files' business.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { chmodSync, readFileSync, readdirSync, readlinkSync, mkdirSync, mkdtempSync, rmSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const DEADLINE_MS = 60_000;
const PROGRAMS = ['postgres', 'ledger', 'catalog', 'usage', 'simprovider', 'edge'];
const root = fileURLToPath(new URL('../..', import.meta.url));
const parent = mkdtempSync('/tmp/bourse instance ');
chmodSync(parent, 0o755); // the system users must get in, or the data would move to /var/lib and outlive this file
const directory = join(parent, 'var');
let port;

// Two neighbouring ports that nobody listens on: the API's and the simulator's.
async function freePorts() {
    for (let candidate = 20_000 + (process.pid % 20_000); ; candidate += 2) {
        if ((await listen(candidate, true)) && (await listen(candidate + 1, true))) return candidate;
    }
}

// A server on the port, or with `close` only the knowledge that there could be one.
function listen(number, close) {
    return new Promise((resolve) => {
        const server = createServer();
        server.once('error', () => resolve(null));
        server.listen(number, '127.0.0.1', () => (close ? server.close(() => resolve(true)) : resolve(server)));
    });
}

// Runs make; answers exit code and output. The instance is chosen by the environment, as scripts do.
function make(target, environment = {}) {
    const env = { ...process.env, BOURSE_VAR: directory, BOURSE_PORT: String(port), ...environment };
    delete env.MAKEFLAGS;
    return new Promise((resolve) => {
        execFile('make', ['--no-print-directory', target], { cwd: root, env, timeout: 180_000 }, (error, stdout, stderr) =>
            resolve({ code: error ? error.code : 0, output: stdout + stderr }));
    });
}

async function makeOk(target, environment) {
    const { code, output } = await make(target, environment);
    assert.equal(code, 0, output);
    return output;
}

const pidOf = (name) => Number(readFileSync(join(directory, 'run', `${name}.pid`), 'utf8'));

async function readyStatus() {
    try {
        return (await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2000) })).status;
    } catch {
        return 0;
    }
}

async function until(what, condition, limit_ms = DEADLINE_MS) {
    const end = Date.now() + limit_ms;
    while (!(await condition())) {
        assert.ok(Date.now() < end, `${what}: not within ${limit_ms} ms`);
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

// Every process that works in the instance's directory, whatever it is.
function processesOfInstance() {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
        try {
            const place = readlinkSync(`/proc/${pid}/cwd`);
            return place === directory || place.startsWith(`${directory}/`);
        } catch {
            return false;
        }
    });
}

// demo.env is read by a shell, as its users do.
function demo(place = directory) {
    return new Promise((resolve, reject) => {
        execFile('sh', ['-c', '. "$0"; printf "%s\\n" "$BOURSE_BASE_URL" "$BOURSE_API_KEY" "$BOURSE_MANAGEMENT_KEY" "$BOURSE_SIM_URL" "$BOURSE_PG"',
            join(place, 'demo.env')], (error, stdout) => {
            if (error) return reject(error);
            const [baseUrl, apiKey, managementKey, simUrl, pg] = stdout.trimEnd().split('\n');
            resolve({ baseUrl, apiKey, managementKey, simUrl, pg });
        });
    });
}

before(async () => {
    port = await freePorts();
    await makeOk('up');
});

after(async () => {
    await make('down');
    rmSync(parent, { recursive: true, force: true });
});

test('up returns when the instance serves, and says that answers are simulated', async () => {
    assert.equal(await readyStatus(), 200);
    assert.ok(processesOfInstance().length > PROGRAMS.length); // the look that finds nothing after down finds them now
    const output = await makeOk('up');
    assert.match(output, /already running/);
    assert.match(output, /ANSWERS ARE SIMULATED/);
    assert.match(output, /provider live openai --key-file/);
});

test('demo.env gives addresses and keys to a shell, and is closed to others', async () => {
    const values = await demo();
    assert.equal(values.baseUrl, `http://127.0.0.1:${port}/api/v1`);
    assert.equal(values.simUrl, `http://127.0.0.1:${port + 1}`);
    assert.match(values.apiKey, /^sk-bourse-v1-/);
    assert.match(values.managementKey, /^sk-bourse-v1-/);
    assert.notEqual(values.apiKey, values.managementKey);
    assert.equal(statSync(join(directory, 'demo.env')).mode & 0o777, 0o600);
});

test('BOURSE_PG reads the books and cannot write them', async () => {
    const { pg } = await demo();
    const psql = (sql) => new Promise((resolve) => execFile('psql', ['-XAtq', '-d', pg, '-c', sql],
        (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr })));
    const read = await psql('select count(*) > 0 from transfer');
    assert.equal(read.stdout, 't\n', read.stderr);
    const write = await psql("update account set balance = 1");
    assert.notEqual(write.code, 0);
});

test('the audit of a fresh instance finds nothing', async () => {
    assert.match(await makeOk('audit'), /^audit: 0 violations$/m);
});

test('an audit where there is no instance, or a stopped one, is no good audit', async () => {
    const place = join(parent, 'not there');
    for (const [target, sentence] of [['audit', 'there is no instance in'], ['down', 'nothing runs here']]) {
        const { code, output } = await make(target, { BOURSE_VAR: place });
        assert.equal(code === 0, target === 'down', output); // what is not there needs no stopping
        assert.ok(output.includes(sentence), output);
    }
    mkdirSync(place);
    const { code, output } = await make('audit', { BOURSE_VAR: place });
    assert.notEqual(code, 0);
    assert.match(output, /is not running/);
    assert.ok(!output.includes('violations'), output);
});

test('each program that is killed is back within a second, and the instance serves again', async () => {
    for (const name of PROGRAMS) {
        const pid = pidOf(name);
        process.kill(pid, 'SIGKILL');
        await until(`${name} is started again`, () => pidOf(name) !== pid, 1000);
        await until(`the instance serves after ${name} was killed`, async () => (await readyStatus()) === 200);
    }
});

test('a start on a port that is taken says so and leaves nothing running', async () => {
    await makeOk('down');
    const other = await listen(port + 1, false);
    const { code, output } = await make('up');
    await new Promise((resolve) => other.close(resolve));
    assert.notEqual(code, 0);
    assert.match(output, new RegExp(`port ${port + 1} is taken`));
    assert.deepEqual(processesOfInstance(), []);
});

test('down leaves nothing running, and a later start keeps organization and keys', async () => {
    const keys = await demo();
    await makeOk('up');
    assert.deepEqual(await demo(), keys);
    await makeOk('down');
    assert.deepEqual(processesOfInstance(), []);
    assert.equal(await readyStatus(), 0);
    assert.equal(existsSync(join(directory, 'run', 'edge.pid')), false);
    await makeOk('down'); // a second time is fine
});

test('a start after everything was killed at once works', async () => {
    await makeOk('up');
    for (const name of ['supervise', ...PROGRAMS]) {
        try {
            process.kill(pidOf(name), 'SIGKILL');
        } catch (error) {
            assert.equal(error.code, 'ESRCH'); // it died with its supervisor
        }
    }
    await makeOk('up');
    assert.equal(await readyStatus(), 200);
    assert.match(await makeOk('audit'), /^audit: 0 violations$/m);
});

test('another port at a later start wins, and a running instance refuses it', async () => {
    const before = await demo();
    const next = port + 100;
    const refused = await make('up', { BOURSE_PORT: String(next) });
    assert.notEqual(refused.code, 0);
    assert.match(refused.output, new RegExp(`already runs, on port ${port}`));
    await makeOk('down');
    await makeOk('up', { BOURSE_PORT: String(next) });
    const moved = await demo();
    assert.equal(moved.baseUrl, `http://127.0.0.1:${next}/api/v1`);
    assert.equal(moved.apiKey, before.apiKey);
    port = next;
    assert.equal(await readyStatus(), 200);
});

// The edge's own user reads the key: a start as root gives it none of ours.
function makeCertificate() {
    const [key, certificate] = ['key', 'certificate'].map((name) => join(directory, 'secrets', 'edge', `${name}.pem`));
    return new Promise((resolve, reject) => {
        execFile('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1', '-subj', '/CN=localhost',
            '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate], (error) => {
            if (error) return reject(error);
            chmodSync(key, 0o644);
            resolve({ key, certificate });
        });
    });
}

test('a start with a certificate asks over TLS whether it serves, and demo.env says https', async () => {
    await makeOk('down');
    const file = join(directory, 'bourse.conf');
    const plain = readFileSync(file, 'utf8');
    const { key, certificate } = await makeCertificate();
    writeFileSync(file, `${plain}edge_tls_certificate = ${certificate}\nedge_tls_key = ${key}\n`);
    assert.match(await makeOk('up'), new RegExp(`base URL +https://127\\.0\\.0\\.1:${port}/api/v1`));
    const { baseUrl } = await demo();
    assert.equal(baseUrl, `https://127.0.0.1:${port}/api/v1`);
    const status = await new Promise((resolve, reject) => {
        const options = { ca: readFileSync(certificate), servername: 'localhost' };
        get(`${baseUrl}/models/count`, options, (answer) => resolve(answer.resume().statusCode)).on('error', reject);
    });
    assert.equal(status, 200);
    await makeOk('down');
    writeFileSync(file, plain);
});

test('an edge with one address of its own is asked there whether it serves', async () => {
    await makeOk('up', { BOURSE_ADDRESS: '127.0.0.2' });
    assert.equal((await demo()).baseUrl, `http://127.0.0.2:${port}/api/v1`);
    assert.equal(await readyStatus(), 0); // not on 127.0.0.1
    await makeOk('down');
});

test('what is no port is refused with a sentence, and nothing is made', async () => {
    const place = join(parent, 'no port');
    for (const number of ['abc', '0', '65535', '99999', '-1', '08080', '80 80']) {
        const { code, output } = await make('up', { BOURSE_VAR: place, BOURSE_PORT: number });
        assert.notEqual(code, 0);
        assert.ok(output.includes(`BOURSE_PORT must be a port, a number from 1 to 65534; it is: ${number}`), output);
        assert.ok(!output.includes('stopped at line'), output);
        assert.equal(existsSync(place), false);
    }
});

test('ports in bourse.conf that cannot be are named', async () => {
    const place = join(parent, 'bad ports');
    mkdirSync(place);
    for (const [lines, message] of [
        ['edge_port = 99999\n', 'edge_port in '],
        ['edge_port = 65535\n', 'sim_port in '],
        ['edge_port = 8080\nsim_port = many\n', 'sim_port in '],
        ['edge_port = 8080\nsim_port = 8080\n', 'edge_port and sim_port in '],
    ]) {
        writeFileSync(join(place, 'bourse.conf'), lines);
        const { code, output } = await make('up', { BOURSE_VAR: place, BOURSE_PORT: '' });
        assert.notEqual(code, 0);
        assert.ok(output.includes(`bourse: ${message}`), output);
    }
});

// A first start in `place` whose processes are all killed as soon as it has printed `line`.
function killedFirstStart(place, number, line) {
    return new Promise((resolve, reject) => {
        const start = spawn('tools/run/instance', ['up'], { cwd: root, detached: true, env: { ...process.env, BOURSE_VAR: place, BOURSE_PORT: String(number) } });
        let output = '';
        start.stdout.on('data', (bytes) => {
            output += bytes;
            if (output.includes(line) && start.exitCode === null) process.kill(-start.pid, 'SIGKILL');
        });
        start.on('close', (code, signal) => (signal === 'SIGKILL' ? resolve() : reject(new Error(`ended with ${code}: ${output}`))));
    });
}

test('after a first start that was killed half-way, or left an empty bourse.conf, the next one is whole and simulated', async () => {
    const interruptions = {
        'empty configuration': async (place) => {
            mkdirSync(place);
            writeFileSync(join(place, 'bourse.conf'), '');
        },
        'killed database': (place, number) => killedFirstStart(place, number, 'creating the database'),
        'killed demo': (place, number) => killedFirstStart(place, number, 'creating the demo organization'),
    };
    for (const [name, interrupt] of Object.entries(interruptions)) {
        const place = join(parent, name);
        const number = await freePorts();
        await interrupt(place, number);
        const environment = { BOURSE_VAR: place, BOURSE_PORT: String(number) };
        assert.match(await makeOk('up', environment), /ANSWERS ARE SIMULATED/, name);
        const { baseUrl, apiKey, managementKey } = await demo(place);
        const body = JSON.stringify({ model: 'openai/gpt-4o-mini', messages: [{ role: 'user', content: 'Hello' }] });
        const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' };
        const answer = await fetch(`${baseUrl}/chat/completions`, { method: 'POST', headers, body });
        assert.equal(answer.status, 200, name);
        assert.equal(answer.headers.get('x-bourse-simulated'), 'true');
        const credits = await fetch(`${baseUrl}/credits`, { headers: { authorization: `Bearer ${managementKey}` } });
        assert.equal((await credits.json()).data.total_credits, 25, name);
        assert.match(await makeOk('audit', environment), /^audit: 0 violations$/m);
        await makeOk('down', environment);
    }
});
