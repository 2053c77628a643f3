// Fresh tokens and a fetch that carries them. The SDK keeps the token in memory for as long as it lives.
import { evergrant } from 'evergrant/client';

const { EVERGRANT_SERVER: server, EVERGRANT_GRANT: grant, EVERGRANT_API_KEY: apiKey, API_URL } = process.env;
const books = evergrant({ server, grant, apiKey });
const answer = await books.fetch(`${API_URL}/v1/current/Me`);
console.log(JSON.stringify(await answer.json()));
