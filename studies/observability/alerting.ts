import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '@locmoe/test-kit';
import { parse } from 'yaml';

const OBSERVABILITY = fileURLToPath(new URL('../../deploy/observability', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const START_POLL_MS = 100;

export interface Received {
  readonly name: string;
  readonly run: string;
  readonly atMs: number;
}

interface Notification {
  readonly alerts: readonly {
    readonly status: 'firing' | 'resolved';
    readonly labels: Readonly<Record<string, string>>;
  }[];
}

/**
 * Prometheus and Alertmanager with the rules and routes of deploy/observability, and a receiver behind them: all that
 * lies between a coordinator's `/metrics` and a person.
 */
export class Alerting {
  /** First arrival of each alert of a run. */
  readonly received: Received[] = [];
  readonly #receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      this.#take(JSON.parse(Buffer.concat(chunks).toString()));
      response.end();
    });
  });
  readonly #children: ChildProcess[] = [];

  /**
   * @param scraped host:port of the coordinators, and the file of the token that they ask for
   * @throws Error if Prometheus or Alertmanager are not installed, or do not start
   */
  async start(
    folder: string,
    targets: readonly string[],
    tokenFile: string,
    scrapeIntervalS: number,
  ): Promise<void> {
    this.#receiver.listen(0, '127.0.0.1');
    await once(this.#receiver, 'listening');
    const { port } = this.#receiver.address() as AddressInfo;
    const alertmanager = parse(readFileSync(path.join(OBSERVABILITY, 'alertmanager.yml'), 'utf8'));
    alertmanager.receivers = [
      { name: alertmanager.route.receiver, webhook_configs: [{ url: `http://127.0.0.1:${port}/` }] },
    ];
    const sendsTo = `127.0.0.1:${await freePort()}`;
    await this.#run(
      'prometheus-alertmanager',
      [
        `--config.file=${written(folder, 'alertmanager.yml', alertmanager)}`,
        `--storage.path=${path.join(folder, 'alertmanager')}`,
        `--web.listen-address=${sendsTo}`,
        '--cluster.listen-address=',
      ],
      sendsTo,
    );
    const interval = `${scrapeIntervalS}s`;
    const asks = `127.0.0.1:${await freePort()}`;
    const authorization = { credentials_file: tokenFile };
    const prometheus = {
      global: { scrape_interval: interval, evaluation_interval: interval },
      rule_files: [path.join(OBSERVABILITY, 'alerts.yml')],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [sendsTo] }] }] },
      scrape_configs: [{ job_name: 'locmoe', static_configs: [{ targets }], authorization }],
    };
    await this.#run(
      'prometheus',
      [
        `--config.file=${written(folder, 'prometheus.yml', prometheus)}`,
        `--storage.tsdb.path=${path.join(folder, 'prometheus')}`,
        `--web.listen-address=${asks}`,
      ],
      asks,
    );
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#receiver.close();
    this.#receiver.closeAllConnections();
  }

  #take({ alerts }: Notification): void {
    for (const { status, labels } of alerts) {
      const { alertname: name = '', run = '' } = labels;
      const isKnown = this.received.some((each) => each.name === name && each.run === run);
      if (status === 'firing' && !isKnown) this.received.push({ name, run, atMs: Date.now() });
    }
  }

  /** @param command also the Debian package that has it */
  async #run(command: string, args: readonly string[], address: string): Promise<void> {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#children.push(child);
    let said = '';
    child.on('error', ({ message }) => {
      said = `${message}; on Debian: apt-get install ${command}`;
    });
    child.stderr.on('data', (text) => {
      said = (said + text).slice(-2_000);
    });
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < deadline && child.exitCode === null && child.pid !== undefined) {
      const isReady = await fetch(`http://${address}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isReady) return;
      await sleep(START_POLL_MS);
    }
    throw new Error(`${command} did not start:\n${said}`);
  }
}

/** JSON is YAML. */
function written(folder: string, name: string, settings: object): string {
  const file = path.join(folder, name);
  writeFileSync(file, JSON.stringify(settings));
  return file;
}
