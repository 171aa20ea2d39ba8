import type { RecordedSteps } from '../../api-types.js';
import { commandLine } from '../command-line.js';
import { h } from '../dom.js';

/** Explains how to record routes if there are none. */
export function nothingRecorded({ recording, command }: RecordedSteps, isLive: boolean): HTMLElement[] {
  if (recording !== null && isLive)
    return [
      h.p(
        `Every ${recording.every === 1 ? '' : `${recording.every}th `}step of this run is recorded; none is due yet.`,
      ),
    ];
  return [
    h.p(
      'No routes of this run are recorded; train with ',
      h.code('train.recordRoutes'),
      ' to see which experts tokens choose.',
    ),
    commandLine('the same run, with every 50th step recorded', command),
  ];
}
