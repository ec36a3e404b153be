// SPDX-License-Identifier: Apache-2.0
// Between our programs and PostgreSQL: a socket in the place of the server's own, behind which a test decides what becomes of each
// message of a client. What libpq sends in one piece, a statement with its parameters, comes in one piece.
import { chmodSync, renameSync, rmSync } from 'node:fs';
import net from 'node:net';

export class Between {
  connections = new Set(); // {client, server}
  away = false; // nobody gets through
  refused = 0; // who tried meanwhile

  /** `place`: the socket's path, where programs look for it. `pass(bytes, connection)`: a client said something. */
  constructor(place, pass = (bytes, { server }) => server.write(bytes)) {
    this.place = place;
    this.behind = `${place}.behind`;
    this.pass = pass;
  }

  /** Connections that are open already go past us; who opens another one meets us. */
  begin() {
    renameSync(this.place, this.behind);
    this.server = net.createServer((client) => this.#serve(client));
    return new Promise((resolve) => this.server.listen(this.place, () => {
      chmodSync(this.place, 0o777);
      resolve();
    }));
  }

  /** The server's socket is back in its place, and our connections are cut. */
  async end() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.cut();
    await closed;
    rmSync(this.place, { force: true });
    renameSync(this.behind, this.place);
  }

  cut() {
    for (const { client, server } of this.connections) {
      client.destroy();
      server.destroy();
    }
  }

  #serve(client) {
    if (this.away) {
      this.refused++;
      return client.destroy();
    }
    const server = net.connect(this.behind);
    const connection = { client, server };
    this.connections.add(connection);
    for (const socket of [client, server]) {
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.connections.delete(connection);
        client.destroy();
        server.destroy();
      });
    }
    server.on('data', (bytes) => connection.lost?.() ?? client.write(bytes));
    client.on('data', (bytes) => this.pass(bytes, connection));
  }
}
