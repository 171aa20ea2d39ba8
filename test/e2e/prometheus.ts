import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '@locmoe/test-kit';
import { onTestFinished } from 'vitest';

const ALERTS = fileURLToPath(new URL('../../deploy/observability/alerts.yml', import.meta.url));
const START_TIMEOUT_MS = 30_000;

export interface ScrapeJob {
  readonly name: string;
  /** host:port */
  readonly target: string;
  readonly tokenFile?: string;
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A real Prometheus for one test: it scrapes each second, with the project's alert rules. */
export class Prometheus {
  private constructor(readonly url: string) {}

  static async start(binary: string, folder: string, jobs: readonly ScrapeJob[]): Promise<Prometheus> {
    mkdirSync(folder, { recursive: true });
    const config = path.join(folder, 'prometheus.yml');
    // JSON is YAML.
    const settings = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: [ALERTS],
      scrape_configs: jobs.map(({ name, target, tokenFile }) => ({
        job_name: name,
        static_configs: [{ targets: [target] }],
        ...(tokenFile === undefined ? {} : { authorization: { credentials_file: tokenFile } }),
      })),
    };
    writeFileSync(config, JSON.stringify(settings));
    const port = await freePort();
    const child = spawn(
      binary,
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${path.join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder },
    );
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < deadline && child.exitCode === null) {
      const isReady = await fetch(`http://127.0.0.1:${port}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isReady) return new Prometheus(`http://127.0.0.1:${port}`);
      await sleep(100);
    }
    throw new Error(`Prometheus did not start:\n${said}`);
  }

  /** Evaluates PromQL now; throws Prometheus' error message if it fails. */
  async query(expression: string): Promise<Sample[]> {
    const response = await fetch(`${this.url}/api/v1/query`, {
      method: 'POST',
      body: new URLSearchParams({ query: expression }),
    });
    const { status, error, data } = (await response.json()) as {
      readonly status: string;
      readonly error?: string;
      readonly data: {
        readonly resultType: string;
        readonly result: readonly { metric: Record<string, string>; value: [number, string] }[];
      };
    };
    if (status !== 'success') throw new Error(`${expression}: ${error}`);
    return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  /** The value of an expression that has one series. */
  async value(expression: string): Promise<number> {
    const samples = await this.query(expression);
    if (samples.length !== 1) throw new Error(`${expression} has ${samples.length} series`);
    return samples[0].value;
  }

  /** Polls until the expression has a series, for at most `timeoutMs`. */
  async until(expression: string, timeoutMs = 60_000): Promise<Sample[]> {
    const deadline = performance.now() + timeoutMs;
    while (performance.now() < deadline) {
      const samples = await this.query(expression);
      if (samples.length > 0) return samples;
      await sleep(200);
    }
    throw new Error(`waited ${timeoutMs / 1000} s in vain for ${expression}`);
  }

  /** Alerts that fire or are about to, by name. */
  async alerts(): Promise<string[]> {
    const response = await fetch(`${this.url}/api/v1/alerts`);
    const { data } = (await response.json()) as {
      readonly data: { readonly alerts: readonly { labels: { alertname: string } }[] };
    };
    return data.alerts.map(({ labels }) => labels.alertname);
  }
}
