import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { installLocked } from '../../scripts/install-locked.mjs';
import { segmentBytes } from '../../src/collectives/shm-layout.js';
import { ringBytesOf } from '../../src/config/cluster-sizes.js';
import { loadConfig } from '../../src/config/resolve.js';
import { EXIT } from '../../src/errors.js';
import { debianTool, findPromtool, NO_PROMTOOL, skipLoudly } from '../debian-tool.js';
import { runCommand } from '../run-command.js';
import { ROOT } from './support.js';

const KUBERNETES = path.join(ROOT, 'deploy/kubernetes');
const OBSERVABILITY = path.join(ROOT, 'deploy/observability');
const SCHEMAS = path.join(ROOT, 'test/cluster/kubernetes-schemas');
const MIB = 1 << 20;

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
}

/** Returns the objects of the manifests. */
function manifests() {
  return readdirSync(KUBERNETES)
    .filter((file) => file.endsWith('.yaml') && !['kustomization.yaml', 'recipe.yaml'].includes(file))
    .flatMap((file) => parseAllDocuments(readFileSync(path.join(KUBERNETES, file), 'utf8')))
    .map((document) => document.toJS());
}

const specOf = (name: string) => manifests().find(({ metadata }) => metadata.name === name).spec;
const moduleOf = ({ apiVersion }: Manifest) => `kubernetes-models/${apiVersion}`;

/** Returns the errors of the manifests against the types of the schema: unknown fields, missing ones, wrong values. */
function typeErrors(objects: readonly Manifest[]): string {
  const file = path.join(SCHEMAS, `node_modules/check-${process.pid}.ts`);
  const lines = objects.map(
    (object, i) =>
      `export const v${i}: import('${moduleOf(object)}').I${object.kind} = ${JSON.stringify(object)};`,
  );
  writeFileSync(file, lines.join('\n'));
  try {
    const flags = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022'];
    const args = ['node_modules/typescript/bin/tsc', ...flags, '--ignoreConfig', file];
    return spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' }).stdout;
  } finally {
    rmSync(file);
  }
}

describe('deploy/kubernetes', () => {
  beforeAll(() => installLocked(SCHEMAS, 'the Kubernetes schemas', () => undefined), 120_000);

  it('holds what the schemas of Kubernetes allow, and nothing else', () => {
    const objects = manifests();
    expect(objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort()).toEqual([
      'Job locmoe-coordinator',
      'Job locmoe-node',
      'PersistentVolumeClaim locmoe-work',
      'Service coordinator',
    ]);
    const require = createRequire(path.join(SCHEMAS, 'package.json'));
    for (const object of objects) {
      const Model = require(moduleOf(object))[object.kind];
      expect(() => new Model(object).validate()).not.toThrow();
    }
    const [object] = objects;
    const wrong = { ...object, spec: { ...object.spec, unknownField: 1 } };
    const errors = typeErrors([...objects, wrong])
      .trim()
      .split('\n');
    expect(errors.filter((line) => line.includes('error'))).toEqual([
      expect.stringMatching(/unknownField.* does not exist/),
    ]);
  });

  it('starts a coordinator again after a failure that may go well, and not after one that comes again', () => {
    const { backoffLimit, podFailurePolicy, template } = specOf('locmoe-coordinator');
    expect(backoffLimit).toBeGreaterThan(0);
    expect(template.spec.restartPolicy).toBe('Never');
    expect(podFailurePolicy.rules).toContainEqual({
      action: 'FailJob',
      onExitCodes: expect.objectContaining({
        values: [EXIT.badConfig, EXIT.noCheckpoint, EXIT.interrupted],
      }),
    });
  });

  it('has as many pods and as much shared memory as its recipe asks for', () => {
    const { cluster } = loadConfig(path.join(KUBERNETES, 'recipe.yaml'), { sets: [] });
    const { completions, parallelism, template } = specOf('locmoe-node');
    expect([completions, parallelism]).toEqual([cluster.nodes, cluster.nodes]);
    const shared = template.spec.volumes.find(({ name }: { name: string }) => name === 'shared-memory');
    const { nodes: numNodes, workersPerNode } = cluster;
    const needed = segmentBytes({ node: 0, numNodes, workersPerNode, ringBytes: ringBytesOf(cluster) });
    expect(Number.parseInt(shared.emptyDir.sizeLimit, 10) * MIB).toBeGreaterThan(needed);
  });
});

describe('the units of systemd', () => {
  const folder = path.join(ROOT, 'deploy/systemd');
  const units = readdirSync(folder).map(
    (name) => [name, readFileSync(path.join(folder, name), 'utf8')] as const,
  );

  it.each(units)('%s is not started again where it would fail again', (name, text) => {
    const codes = /^RestartPreventExitStatus=(.*)$/m.exec(text)?.[1]?.split(' ').map(Number);
    const { badConfig, noCheckpoint } = EXIT;
    expect(codes).toEqual(name === 'locmoe-node.service' ? [badConfig] : [badConfig, noCheckpoint]);
  });

  it.each(units)('%s gives options that the command has', async (_, text) => {
    const [, command, options] = /^ExecStart=\S+\/locmoe (\S+) (.*)$/m.exec(text)!;
    const { stdout } = await runCommand(command!, '--help');
    for (const [option] of options!.matchAll(/--[a-z-]+/g)) expect(stdout).toContain(` ${option}`);
  });

  it.skipIf(spawnSync('systemd-analyze', ['--version']).error !== undefined).each(units)(
    '%s is a unit that systemd reads',
    (name, text) => {
      const copy = mkdtempSync(path.join(tmpdir(), 'locmoe-units-'));
      const unit = path.join(copy, name);
      // systemd-analyze looks for the program and the user, which this machine may lack.
      writeFileSync(
        unit,
        text.replace('/opt/locmoe/node_modules/.bin/locmoe', '/bin/true').replace('User=locmoe', 'User=root'),
      );
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
      rmSync(copy, { recursive: true, force: true });
      expect([status, stderr.split('\n').filter((line) => line.includes(name))]).toEqual([0, []]);
    },
  );
});

describe('tools that read the configuration', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-configuration-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('promtool accepts the configuration of Prometheus and its alerts, which fire when they should', ({
    skip,
  }) => {
    const promtool = findPromtool();
    if (promtool === null) return skipLoudly(skip, NO_PROMTOOL);
    // promtool looks for the token where the container has it.
    for (const file of ['prometheus.yml', 'alerts.yml', 'alerts.test.yml']) {
      const text = readFileSync(path.join(OBSERVABILITY, file), 'utf8');
      writeFileSync(path.join(folder, file), text.replace('/etc/locmoe/token', path.join(folder, 'token')));
    }
    writeFileSync(path.join(folder, 'token'), 'x');
    for (const [command, what, file] of [
      ['check', 'config', 'prometheus.yml'],
      ['check', 'rules', 'alerts.yml'],
      ['test', 'rules', 'alerts.test.yml'],
    ]) {
      const { status, stdout, stderr } = spawnSync(promtool, [command, what, path.join(folder, file)], {
        encoding: 'utf8',
      });
      expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: '' });
    }
  });

  it('amtool accepts the configuration of Alertmanager, which Prometheus sends alerts to', ({ skip }) => {
    const file = path.join(OBSERVABILITY, 'alertmanager.yml');
    const { alerting } = parse(readFileSync(path.join(OBSERVABILITY, 'prometheus.yml'), 'utf8'));
    expect(alerting.alertmanagers[0].static_configs).toEqual([{ targets: ['alertmanager:9093'] }]);
    const amtool = debianTool('amtool', ['prometheus-alertmanager']);
    if (amtool === null) return skipLoudly(skip, 'no amtool, and no Debian package of it');
    const { status, stderr } = spawnSync(amtool, ['check-config', file], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('every alert has a test in which it fires and one in which it does not', () => {
    const read = (file: string) => parse(readFileSync(path.join(OBSERVABILITY, file), 'utf8'));
    const alerts: string[] = read('alerts.yml').groups.flatMap(({ rules }: { rules: { alert: string }[] }) =>
      rules.map(({ alert }) => alert),
    );
    const tests: { alertname: string; exp_alerts: unknown[] }[] = read('alerts.test.yml').tests.flatMap(
      ({ alert_rule_test: each }: { alert_rule_test: unknown[] }) => each,
    );
    for (const alert of alerts) {
      const own = tests.filter(({ alertname }) => alertname === alert);
      expect(
        own.some(({ exp_alerts: expected }) => expected.length > 0),
        alert,
      ).toBe(true);
      expect(
        own.some(({ exp_alerts: expected }) => expected.length === 0),
        alert,
      ).toBe(true);
    }
  });

  it('kubectl builds deploy/kubernetes with its recipe and secret', ({ skip }) => {
    const kubectl = debianTool('kubectl', ['kubectl']);
    if (kubectl === null) return skipLoudly(skip, 'no kubectl, and no Debian package of it');
    spawnSync('cp', ['--recursive', KUBERNETES, folder]);
    const tls = path.join(folder, 'kubernetes/tls');
    const script = `mkdir -p ${tls} && cd ${tls} && touch ca.pem cert.pem key.pem token`;
    expect(spawnSync('sh', ['-c', script]).status).toBe(0);
    const { status, stdout, stderr } = spawnSync(kubectl, ['kustomize', path.join(folder, 'kubernetes')], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const kinds = parseAllDocuments(stdout).map((document) => document.get('kind'));
    expect(kinds.sort()).toEqual(['ConfigMap', 'Job', 'Job', 'PersistentVolumeClaim', 'Secret', 'Service']);
  });

  it('docker compose accepts docker-compose.yml with its profile', ({ skip }) => {
    if (spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status !== 0)
      return skipLoudly(skip, 'no docker compose');
    const { status, stdout, stderr } = spawnSync(
      'docker',
      ['compose', '--profile', 'observability', 'config', '--format', 'json'],
      { cwd: ROOT, encoding: 'utf8', env: { ...process.env, NODES: '3', WORKERS: '4' } },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const { services } = JSON.parse(stdout);
    expect(Object.keys(services).sort()).toEqual(
      ['alertmanager', 'alloy', 'certs', 'coordinator', 'grafana', 'loki', 'node', 'prometheus'].sort(),
    );
    expect(services.node.deploy.replicas).toBe(3);
    expect(services.coordinator.command).toContain('--workers-per-node=4');
    const published = Object.values(services as Record<string, { ports?: { host_ip: string }[] }>).flatMap(
      ({ ports = [] }) => ports.map(({ host_ip }) => host_ip),
    );
    expect(published).toEqual(Array(4).fill('127.0.0.1'));
  });

  it('what reads metrics and logs can reach the coordinator, and finds its files where they are mounted', () => {
    const { services } = parse(readFileSync(path.join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true });
    expect(services.coordinator.command).toContain('--http=0.0.0.0:8080');
    for (const name of ['prometheus', 'grafana']) {
      expect(services[name].networks).toContain('cluster');
      expect(services[name].volumes).toContain('tls:/etc/locmoe:ro');
      // This group may read the token (Dockerfile).
      expect(services[name].group_add).toEqual(['10001']);
      for (const volume of services[name].volumes as string[]) {
        const [source] = volume.split(':');
        if (source.startsWith('.')) expect(existsSync(path.join(ROOT, source)), source).toBe(true);
      }
    }
    const { scrape_configs: jobs } = parse(readFileSync(path.join(OBSERVABILITY, 'prometheus.yml'), 'utf8'));
    expect(jobs[0]).toMatchObject({
      job_name: 'locmoe',
      authorization: { credentials_file: '/etc/locmoe/token' },
      static_configs: [{ targets: ['coordinator:8080'] }],
    });
    const { datasources } = parse(
      readFileSync(path.join(OBSERVABILITY, 'grafana/provisioning/datasources/sources.yaml'), 'utf8'),
    );
    expect(datasources.map(({ uid, type, url }: Record<string, string>) => [uid, type, url])).toEqual([
      ['prometheus', 'prometheus', 'http://prometheus:9090'],
      ['loki', 'loki', 'http://loki:3100'],
      ['locmoe', 'loki', 'http://coordinator:8080'],
    ]);
  });
});
