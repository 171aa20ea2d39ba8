import { connect, createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A TCP proxy to a port of this machine, whose traffic can be cut off without a word to either side. */
export class CuttableProxy {
  readonly #sockets: Socket[] = [];
  #isCut = false;

  private constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async to(target: number): Promise<CuttableProxy> {
    const server = createServer({ allowHalfOpen: true });
    const port = await new Promise<number>((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
    );
    const proxy = new CuttableProxy(server, port);
    server.on('connection', (socket) => proxy.#join(socket, target));
    onTestFinished(() => proxy.#close());
    return proxy;
  }

  /** From now on nothing passes, not even the end of a connection. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  #join(from: Socket, target: number): void {
    const to = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    this.#sockets.push(from, to);
    for (const [one, other] of [
      [from, to],
      [to, from],
    ]) {
      if (!this.#isCut) one.pipe(other);
      one.on('error', () => {
        if (!this.#isCut) other.destroy();
      });
    }
  }

  #close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
  }
}
