import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TEST_IMAGE } from '../../scripts/test-image.mjs';
import { type Finished, must, run, until } from './support.js';

export interface Line {
  readonly run?: string;
  readonly generation?: number;
  readonly node?: number;
  readonly rank?: number;
  readonly step?: number;
  readonly msg: string;
}

/** This is the cluster of docker-compose.yml under a name of its own, with recipes of the test. */
export class Project {
  readonly name = `locmoe-test-${process.pid}`;
  /** Holds recipes and other files of the test, at /test in the containers. */
  readonly folder = mkdtempSync(path.join(tmpdir(), 'locmoe-compose-'));

  constructor(files: Readonly<Record<string, string>>) {
    mkdirSync(path.join(this.folder, 'files'));
    for (const [name, text] of Object.entries(files))
      writeFileSync(path.join(this.folder, 'files', name), text);
    const volumes = [`${this.folder}/files:/test:ro`];
    const services = { coordinator: { volumes }, node: { volumes } };
    writeFileSync(path.join(this.folder, 'override.yml'), JSON.stringify({ services }));
  }

  /** The volume has data and runs. */
  get volume(): string {
    return `${this.name}_work`;
  }

  /** Returns the variables by which `docker compose` starts this cluster with a recipe of the test. */
  environment(recipe: string): Readonly<Record<string, string>> {
    const files = ['docker-compose.yml', path.join(this.folder, 'override.yml')].join(':');
    const compose = { COMPOSE_ANSI: 'never', COMPOSE_PROJECT_NAME: this.name, COMPOSE_FILE: files };
    const ports = { PORT: '0', HTTP_PORT: '0', LINGER: '0' };
    const size = { NODES: '2', WORKERS: '1', CONFIG: `/test/${recipe}` };
    return Object.assign(compose, ports, size, { LOCMOE_IMAGE: TEST_IMAGE });
  }

  compose(args: readonly string[], recipe = '', timeoutMs = 90_000): Promise<Finished> {
    return run('docker', ['compose', ...args], { env: this.environment(recipe), timeoutMs });
  }

  /** `docker compose up --detach` of some services, or of all. */
  async up(recipe: string, ...services: readonly string[]): Promise<void> {
    const { code, stderr } = await this.compose(['up', '--detach', ...services], recipe);
    if (code !== 0) throw new Error(`docker compose up ended with ${code}:\n${stderr}`);
  }

  /** `docker compose run --rm SERVICE ...`: a command beside the running cluster. */
  beside(service: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const flags = Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
    return this.compose(['run', '--rm', '--no-deps', '--no-TTY', ...flags, service, ...args]);
  }

  /**
   * Returns what the containers of a service have logged so far, line by line; fails the test at a line that is not JSON.
   * It asks the engine, since `docker compose logs` puts codes of a terminal in front of lines.
   */
  async lines(service: string): Promise<Line[]> {
    const containers = await this.containers(service);
    const logs = await Promise.all(containers.map((id) => must('docker', ['logs', id])));
    return logs.flatMap((log) =>
      log
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Line),
    );
  }

  /** Waits for a line of the coordinator. */
  line(what: string, matches: (line: Line) => boolean): Promise<Line> {
    return until(what, async () => (await this.lines('coordinator')).findLast(matches) ?? null, 90_000);
  }

  /** Returns the ids of a service's containers, ended ones too. */
  async containers(service: string): Promise<string[]> {
    const { stdout } = await this.compose(['ps', '--all', '--quiet', service]);
    return stdout.split('\n').filter(Boolean);
  }

  /** Waits for the coordinator's end and returns its exit code. */
  async exitCode(): Promise<number> {
    const [id] = await this.containers('coordinator');
    const { code, stdout } = await run('docker', ['wait', id], { timeoutMs: 60_000 });
    if (code === 0) return Number(stdout);
    const last = (await this.lines('coordinator')).slice(-20).map((line) => JSON.stringify(line));
    throw new Error(`the coordinator goes on:\n${last.join('\n')}`);
  }

  /** Takes everything down; returns what is left of it. */
  async remove(): Promise<string> {
    await this.compose(['down', '--volumes', '--timeout', '10']);
    rmSync(this.folder, { recursive: true, force: true });
    return leftOf(`com.docker.compose.project=${this.name}`);
  }
}

type Kind = 'ps' | 'network' | 'volume';

/** Returns the containers, networks and volumes with a label. */
export async function leftOf(label: string, ...kinds: readonly Kind[]): Promise<string> {
  const of = kinds.length > 0 ? kinds : (['ps', 'network', 'volume'] as const);
  const listed = of.map((kind) => {
    const list = kind === 'ps' ? ['ps', '--all'] : [kind, 'ls'];
    return must('docker', [...list, '--quiet', '--filter', `label=${label}`]);
  });
  return (await Promise.all(listed)).join('');
}
