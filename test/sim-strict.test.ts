/** The simulation at providers that rotate strictly; the others are in sim.test.ts, so that two cores share the work. */
import { losesNothing } from './support/simulated.ts';

for (const policy of ['last-n', 'one-time', 'one-time-revoking']) losesNothing(policy);
