import { Metadata } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LastingSession } from '../../src/agent/lasting-session.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { ScriptedCoordinator, until } from './support.js';

let client: CoordinatorClient;
let session: LastingSession;
let coordinator: ScriptedCoordinator;
let port: number;
let said: string[];

beforeEach(async () => {
  said = [];
  const started = await ScriptedCoordinator.start();
  coordinator = started.coordinator;
  port = Number(started.address.split(':')[1]);
  client = new CoordinatorClient(started.address, NO_SECURITY);
  session = new LastingSession({
    client,
    member: { runId: 'r', generation: 1, node: 0, dataAddress: '127.0.0.1:9', term: 2 },
    waitMs: 20_000,
    listener: {
      command: (command) => said.push(command.command),
      lost: () => said.push('lost') > 0,
      returned: () => said.push('returned'),
      refused: () => said.push('refused'),
      ended: () => said.push('ended'),
    },
  });
  await accept(2);
});

afterEach(async () => {
  await session.close();
  client.close();
});

/** Lets the coordinator accept the newest session in this term. */
async function accept(term: number): Promise<void> {
  await until(() => coordinator.sessions.length > 0);
  const metadata = new Metadata();
  metadata.set('term', String(term));
  coordinator.sessions.at(-1)!.sendMetadata(metadata);
}

/** Replaces the coordinator by another one at the same address. */
async function replace(): Promise<void> {
  coordinator.vanish();
  ({ coordinator } = await ScriptedCoordinator.start(port));
}

it('is opened with the coordinator that comes, which is told what the one before may not have recorded', async () => {
  session.send({ event: 'stop', stop: { reason: 'a' } });
  await until(() => coordinator.all('stop').length === 1);
  await replace();
  await accept(3);
  await until(() => said.includes('returned'));
  session.send({ event: 'stop', stop: { reason: 'b' } });
  await until(() => coordinator.all('stop').length === 2);
  expect(coordinator.all('stop').map(({ reason }) => reason)).toEqual(['a', 'b']);
  expect(coordinator.sessions.at(-1)!.metadata.get('term')).toEqual(['2']);
  expect(said).toEqual(['lost', 'returned']);
});

it('is not opened with a coordinator of an earlier term: it was frozen while another took the run over', async () => {
  await replace();
  await accept(1);
  // The node tries again, as another coordinator may take over.
  await until(() => coordinator.sessions.length > 1);
  expect(said).toEqual(['lost']);
  expect(coordinator.events).toEqual([]);
  coordinator.sessions.at(-1)!.write({ command: 'begin', begin: {} });
  await replace();
  await accept(3);
  await until(() => said.includes('returned'));
  expect(said).toEqual(['lost', 'returned']);
});
