import { rankProgram } from '@locmoe/test-kit';
import { type SelectionCase, select } from './selection-cases.js';

rankProgram((transport, cases: readonly SelectionCase[]) => cases.map((each) => select(transport, each)));
