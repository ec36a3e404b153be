// SPDX-License-Identifier: Apache-2.0
// The other side of the comparison: Debian's nginx as a plain reverse proxy before the same simulated provider, with as
// many workers as the edge has threads. It keeps connections open on both sides and writes no log, which is the best
// that it can do.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { cpuOfGroup } from './processes.mjs';

const START_MAX_MS = 5_000;
const FOREVER = 1_000_000_000; // nginx closes connections after 1,000 requests unless told otherwise

function configuration({ workers, port, streamPort, simPort, provider, route }) {
  const upstream = `http://sim/${provider}/v1/chat/completions`;
  const server = (at, more) => `
  server {
    listen 127.0.0.1:${at} reuseport;
    location = ${route} {
      proxy_pass ${upstream};
      proxy_http_version 1.1;
      proxy_set_header Connection "";${more}
    }
  }`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
worker_processes ${workers};
pid nginx.pid;
error_log error.log warn;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests ${FOREVER};
  client_max_body_size 32m;
  ${temporary.map((name) => `${name}_temp_path ${name};`).join(' ')}
  upstream sim {
    server 127.0.0.1:${simPort};
    keepalive 1024;
    keepalive_requests ${FOREVER};
    keepalive_timeout 600s;
  }${server(port, '')}${server(streamPort, '\n      proxy_buffering off;')}
}
`;
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => socket.destroy() && resolve(true));
    socket.once('error', () => resolve(false));
  });
}

export class Nginx {
  constructor(directory, settings) {
    this.directory = directory;
    this.settings = settings;
    this.port = settings.port;
    this.streamPort = settings.streamPort;
  }

  async start() {
    mkdirSync(this.directory, { recursive: true });
    writeFileSync(path.join(this.directory, 'nginx.conf'), configuration(this.settings));
    const words = ['-p', this.directory, '-c', 'nginx.conf', '-e', 'error.log'];
    this.process = spawn('/usr/sbin/nginx', words, { stdio: 'ignore' });
    const end = performance.now() + START_MAX_MS;
    while (!((await accepts(this.port)) && (await accepts(this.streamPort)))) {
      if (this.process.exitCode !== null || performance.now() > end) throw new Error(`nginx does not start:\n${this.log()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  log() {
    try {
      return readFileSync(path.join(this.directory, 'error.log'), 'utf8');
    } catch {
      return '(no error.log)';
    }
  }

  cpuNs() {
    return cpuOfGroup(this.process.pid);
  }

  stop() {
    this.process?.kill('SIGTERM');
    rmSync(this.directory, { recursive: true, force: true });
  }
}
