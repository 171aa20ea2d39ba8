import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FaultProxy } from './fault-proxy.js';

let target: Server;
let accepted: Socket[];
let proxy: FaultProxy;

beforeEach(async () => {
  accepted = [];
  target = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => undefined);
  });
  target.listen(0, '127.0.0.1');
  await once(target, 'listening');
  proxy = await FaultProxy.to((target.address() as AddressInfo).port);
});

afterEach(async () => {
  await proxy.close();
  for (const socket of accepted) socket.destroy();
  target.close();
});

/** Both ends of a connection through the proxy, with what each has received. */
async function connection() {
  const numBefore = accepted.length;
  const caller = connect(proxy.port, '127.0.0.1');
  await vi.waitUntil(() => accepted.length > numBefore, { timeout: 30_000 });
  const callee = accepted[numBefore];
  const received = { caller: '', callee: '' };
  caller.setEncoding('latin1').on('data', (text) => {
    received.caller += text;
  });
  callee.setEncoding('latin1').on('data', (text) => {
    received.callee += text;
  });
  caller.on('error', () => undefined);
  return { caller, callee, received };
}

const arrives = (of: { caller: string; callee: string }, end: 'caller' | 'callee', text: string) =>
  vi.waitUntil(() => of[end] === text, { timeout: 60_000, interval: 1 });

it('passes bytes both ways, and each end of a connection by itself', async () => {
  const { caller, callee, received } = await connection();
  caller.end('question');
  await arrives(received, 'callee', 'question');
  expect(callee.readableEnded || (await once(callee, 'end'))).toBeTruthy();
  callee.end('answer');
  await once(caller, 'close');
  expect(received.caller).toBe('answer');
});

it('delays without changing the order or slowing the stream', async () => {
  const { caller, received } = await connection();
  proxy.delay(150, 'toTarget');
  const start = performance.now();
  for (const text of ['a', 'b', 'c']) {
    caller.write(text);
    await sleep(30);
  }
  await arrives(received, 'callee', 'abc');
  const ms = performance.now() - start;
  // The last was sent after 60 ms.
  expect(ms).toBeGreaterThan(200);
});

it('throttles one direction of all connections together', async () => {
  const one = await connection();
  const other = await connection();
  proxy.throttle(100_000, 'toTarget');
  const start = performance.now();
  for (const { caller } of [one, other]) caller.write('x'.repeat(20_000));
  await arrives(one.received, 'callee', 'x'.repeat(20_000));
  await arrives(other.received, 'callee', 'x'.repeat(20_000));
  const ms = performance.now() - start;
  expect(ms).toBeGreaterThan(350);
  one.callee.write('back');
  await arrives(one.received, 'caller', 'back');
});

it('drops one direction without a word, and heals', async () => {
  const { caller, callee, received } = await connection();
  proxy.drop('toTarget');
  caller.write('lost?');
  callee.write('seen');
  await arrives(received, 'caller', 'seen');
  await sleep(50);
  expect(received.callee).toBe('');
  proxy.heal();
  await arrives(received, 'callee', 'lost?');
});

it('drops both directions, and the ends of connections with them', async () => {
  const { caller, callee, received } = await connection();
  proxy.drop();
  callee.write('lost');
  callee.resetAndDestroy();
  await sleep(50);
  expect(received.caller).toBe('');
  expect(caller.destroyed).toBe(false);
  proxy.heal();
  // From version 24 on Node reports the reset; earlier versions only end the connection.
  await vi.waitUntil(() => caller.closed, { timeout: 30_000 });
});

it('holds no more than its queue of what it withholds', async () => {
  const { caller, received } = await connection();
  proxy.drop('toTarget');
  const sent = 32 << 20;
  let isWritten = false;
  // The rest waits in the caller: neither the proxy nor the kernel's buffers accept it.
  caller.write('x'.repeat(sent), () => {
    isWritten = true;
  });
  await sleep(300);
  expect(isWritten).toBe(false);
  proxy.heal();
  await vi.waitUntil(() => received.callee.length === sent, { timeout: 20_000 });
});

it('corrupts one byte, once', async () => {
  const { caller, received } = await connection();
  proxy.corrupt('toTarget');
  caller.write('abc');
  await arrives(received, 'callee', 'acc');
  caller.write('abc');
  await arrives(received, 'callee', 'accabc');
});

it('resets connections on both sides, and takes new ones', async () => {
  const { caller, callee } = await connection();
  const errors = [caller, callee].map((end) => once(end, 'error'));
  proxy.reset();
  for (const [error] of await Promise.all(errors)) expect(error).toMatchObject({ code: 'ECONNRESET' });
  const next = await connection();
  next.caller.write('again');
  await arrives(next.received, 'callee', 'again');
});

it('a target that is gone is a broken connection', async () => {
  target.close();
  const caller = connect(proxy.port, '127.0.0.1');
  const [error] = await once(caller, 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
});
