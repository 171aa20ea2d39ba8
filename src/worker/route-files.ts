import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { isDiskFull } from '@locmoe/logs/append-file';
import {
  parseRoutesFileName,
  RoutesWriter,
  type RouteTable,
  routesFileName,
} from '@locmoe/run-format/routes-file';
import type { SentRows } from '@locmoe/run-format/row-traffic';
import type { Logger } from '../logger.js';
import type { WorkerAssignment } from './messages.js';

/**
 * The files of recorded routes that a rank writes to a folder, one for each recorded step. A step that is
 * repeated after a restart replaces its file.
 */
export class RouteFiles {
  /** Bytes of this rank's files; infinite once the disk was full. */
  bytes: number;

  /** @param step last completed step: files of later steps are removed */
  constructor(
    private readonly folder: string,
    private readonly options: Pick<WorkerAssignment, 'config' | 'topology'> & { readonly logger: Logger },
    step: number,
  ) {
    const { rank } = options.topology;
    mkdirSync(folder, { recursive: true });
    const files = readdirSync(folder).map((name) => ({ name, of: parseRoutesFileName(name) }));
    // A killed process leaves behind a temporary file.
    if (rank === 0)
      for (const { name, of } of files)
        if (name.endsWith('.tmp') || (of !== null && of.step > step))
          rmSync(path.join(folder, name), { force: true });
    this.bytes = files
      .filter(({ of }) => of !== null && of.step <= step && of.rank === rank)
      .reduce((sum, { name }) => sum + statSync(path.join(folder, name)).size, 0);
  }

  /**
   * Writes the file of a step.
   *
   * @param sent rows that this rank sent in the step; omitted for text that is not of the training
   * @returns false if the disk is full, of which it warns once
   */
  write(step: number, table: RouteTable, sent?: SentRows): boolean {
    if (this.bytes === Number.POSITIVE_INFINITY) return false;
    const { config, topology, logger } = this.options;
    let writer: RoutesWriter | undefined;
    try {
      const file = path.join(this.folder, routesFileName(step, topology.rank));
      writer = new RoutesWriter(file, config.moe.numExperts, sent);
      writer.write(table);
      this.bytes += writer.close();
      return true;
    } catch (error) {
      writer?.abandon();
      if (!isDiskFull(error)) throw error;
      this.bytes = Number.POSITIVE_INFINITY;
      logger.warn(`the recording of routes ends: no space is left for ${this.folder}`);
      return false;
    }
  }
}
