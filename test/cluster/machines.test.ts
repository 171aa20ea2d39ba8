import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { skipLoudly } from '../debian-tool.js';
import { documentedCommands, pathWithCommands } from '../e2e/documented-commands.js';
import { DATA_DIR, Locmoe, lossCurve, newestRun, temporaryFolder, UNHURRIED } from '../e2e/support.js';
import { Hosts, whyNoHosts } from './hosts.js';

const CERTS = 'locmoe certs --out tls';
const EXPORT = 'export LOCMOE_TLS_DIR=tls LOCMOE_TOKEN_FILE=tls/token';
const SERVE =
  'locmoe serve --config tiny --nodes 3 --workers-per-node 2 --set moe.numExperts=12 --set model.dModel=144 --set train.globalBatch=36 --listen 0.0.0.0:50051 --advertise first:50051 --http 127.0.0.1:8080 --runs-dir /shared/runs --data-dir /shared/data';
const NODE = 'locmoe node --coordinator first:50051 --listen 0.0.0.0:50052 --forever';
const STATUS = 'locmoe status --runs-dir /shared/runs';
const LOGS = 'locmoe logs --runs-dir /shared/runs --follow --level warn';
const STOP = 'locmoe stop --runs-dir /shared/runs';
const GENERATE = 'locmoe generate --checkpoint /shared/runs/RUN --prompt "The" --domain en';
/** These settings make a run shorter and smaller than its recipe. */
const SHORT =
  '--set train.steps=1000 --set train.checkpointEvery=5 --no-samples --linger 0 --workers-per-node 1 --set model.numDenseLayers=1 --set model.numSparseLayers=1 --set model.seqLen=32 --set train.globalBatch=6';

describe('three machines without containers', () => {
  it('train as docs/cluster.md tells it, lose a machine, get it back, and stop', async ({ skip }) => {
    const reason = whyNoHosts();
    if (reason !== null) skipLoudly(skip, reason);
    const { commands } = documentedCommands();
    for (const command of [CERTS, EXPORT, SERVE, NODE, STATUS, LOGS, STOP, GENERATE])
      expect(commands).toContain(command);

    const folder = temporaryFolder();
    mkdirSync(DATA_DIR, { recursive: true });
    symlinkSync(DATA_DIR, path.join(folder, 'data'));
    const PATH = pathWithCommands(folder);
    const hosts = new Hosts(['first', 'second', 'third']);
    const type = (host: string, command: string) => {
      const line = command.replaceAll('/shared/', `${folder}/`);
      return new Locmoe([line], { PATH, ...UNHURRIED }, hosts.shellOn(host), folder);
    };
    const answer = async (host: string, command: string) => {
      const { code, stdout, stderr } = await type(host, `${EXPORT}; ${command}`).finished;
      expect(code, stdout + stderr).toBe(0);
      return stdout;
    };
    try {
      expect((await type('first', CERTS).finished).code).toBe(0);
      const startNode = (host: string) => type(host, `${EXPORT}; ${NODE}`);
      const [first, second, third] = hosts.names.map(startNode);
      await third.until(/waiting: nothing answers at first:50051/);
      const run = type('first', `${EXPORT}; ${SERVE} ${SHORT}`);
      for (const host of hosts.names) await run.until(new RegExp(`^node \\d joined from ${host}`, 'm'));
      await run.until(/checkpoint at step 5:/);

      expect(await answer('second', STATUS)).toMatch(/: running, generation 1$/m);
      const token = readFileSync(path.join(folder, 'tls/token'), 'utf8').trim();
      const page = `fetch('http://127.0.0.1:8080/?token=${token}').then(({ status }) => console.log(status))`;
      expect(await answer('first', `node -e "${page}"`)).toBe('200\n');
      const stranger = await type('second', `locmoe stop --coordinator first:50051`).finished;
      expect([stranger.code, stranger.stderr]).toEqual([2, expect.stringMatching(/it asks for TLS/)]);
      const following = type('second', `${EXPORT}; ${LOGS}`);

      for (const pid of third.descendants()) process.kill(pid, 'SIGKILL');
      await run.until(/restarting \(\d+ restarts? left\)/);
      const back = startNode('third');
      await run.until(/^recovered: /m);
      expect(await answer('third', STOP)).toMatch(/asked the coordinator at first:50051/);
      const { code, stdout, stderr } = await run.finished;
      expect(code, stdout + stderr).toBe(0);
      expect((await following.finished).stdout).toMatch(/lost/);
      const steps = [...lossCurve(newestRun(folder)).keys()];
      expect(steps).toEqual(steps.map((_, index) => index + 1));
      expect(await answer('second', GENERATE.replace('RUN', path.basename(newestRun(folder))))).toMatch(
        /^The/,
      );

      for (const node of [first, second, back]) {
        await node.until(/node leaves[\s\S]*waiting: /);
        node.child.kill('SIGTERM');
        process.kill(node.pidsOf('agent')[0], 'SIGTERM');
        await node.finished;
        await node.expectNothingLeft();
      }
      await run.expectNothingLeft();
    } finally {
      hosts.close();
    }
  });
});
