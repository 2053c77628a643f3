import { storeContract } from '../contract.ts';
import { createMemoryStore } from './store.ts';

storeContract('the store in memory', async () => createMemoryStore());
