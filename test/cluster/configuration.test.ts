import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { installLocked } from '../../scripts/install-locked.mjs';
import { segmentBytes } from '../../src/collectives/shm-layout.js';
import { loadConfig } from '../../src/config/resolve.js';
import { ROOT, skipLoudly } from './support.js';

const KUBERNETES = path.join(ROOT, 'deploy/kubernetes');
const SCHEMAS = path.join(ROOT, 'test/cluster/kubernetes-schemas');
const MIB = 1 << 20;

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}
interface JobManifest extends Manifest {
  readonly spec: {
    readonly completions: number;
    readonly parallelism: number;
    readonly template: { readonly spec: { readonly volumes: readonly Volume[] } };
  };
}
interface Volume {
  readonly name: string;
  readonly emptyDir?: { readonly sizeLimit?: string };
}

function manifests(): Manifest[] {
  return readdirSync(KUBERNETES)
    .filter((file) => file.endsWith('.yaml') && !['kustomization.yaml', 'recipe.yaml'].includes(file))
    .flatMap((file) => parseAllDocuments(readFileSync(path.join(KUBERNETES, file), 'utf8')))
    .map((document) => document.toJS() as Manifest);
}

const moduleOf = ({ apiVersion }: Manifest) => `kubernetes-models/${apiVersion}`;

/** What the schema's types have against the manifests: unknown fields, missing ones, wrong values. */
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
    expect(typeErrors(objects)).toBe('');
  });

  it('would be refused with a field that Kubernetes does not know', () => {
    const [object] = manifests();
    const wrong = { ...object, spec: { ...(object as JobManifest).spec, unknownField: 1 } } as Manifest;
    expect(typeErrors([wrong])).toMatch(/unknownField.* does not exist/);
  });

  it('has as many pods and as much shared memory as its recipe asks for', () => {
    const { cluster } = loadConfig(path.join(KUBERNETES, 'recipe.yaml'), { sets: [] });
    const nodes = manifests().find(({ metadata }) => metadata.name === 'locmoe-node') as JobManifest;
    expect([nodes.spec.completions, nodes.spec.parallelism]).toEqual([cluster.nodes, cluster.nodes]);
    const shared = nodes.spec.template.spec.volumes.find(({ name }) => name === 'shared-memory');
    const { nodes: numNodes, workersPerNode, ringBytes } = cluster;
    const needed = segmentBytes({ node: 0, numNodes, workersPerNode, ringBytes });
    expect(Number.parseInt(shared!.emptyDir!.sizeLimit!, 10) * MIB).toBeGreaterThan(needed);
  });
});

describe('tools that read the configuration', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-configuration-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** The command, from PATH or unpacked from its Debian package without installing it; null if neither is there. */
  function tool(command: string, debianPackage: string): string | null {
    if (spawnSync(command, ['--help'], { stdio: 'ignore' }).error === undefined) return command;
    const script = `apt-get download ${debianPackage} && dpkg --extract ${debianPackage}_*.deb .`;
    const { status } = spawnSync('sh', ['-c', script], { cwd: folder, stdio: 'ignore', timeout: 120_000 });
    return status === 0 ? path.join(folder, 'usr/bin', command) : null;
  }

  it('promtool accepts the configuration of Prometheus', ({ skip }) => {
    const promtool = tool('promtool', 'promtool');
    if (promtool === null) return skipLoudly(skip, 'no promtool, and no Debian package of it');
    const { status, stderr } = spawnSync(
      promtool,
      ['check', 'config', path.join(ROOT, 'deploy/observability/prometheus.yml')],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  }, 130_000);

  it('kubectl builds deploy/kubernetes with its recipe and secret', ({ skip }) => {
    const kubectl = tool('kubectl', 'kubectl');
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
  }, 130_000);

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
      ['alloy', 'certs', 'coordinator', 'grafana', 'loki', 'node', 'prometheus'].sort(),
    );
    expect(services.node.deploy.replicas).toBe(3);
    expect(services.coordinator.command).toContain('--workers-per-node=4');
    const published = Object.values(services as Record<string, { ports?: { host_ip: string }[] }>).flatMap(
      ({ ports = [] }) => ports.map(({ host_ip }) => host_ip),
    );
    expect(published).toEqual(['127.0.0.1', '127.0.0.1']);
  });
});
