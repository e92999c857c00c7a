/**
 * The one door to the workspace server. Everything goes through
 * `ServerConnection.makeRequest`: it adds the token or the XSRF header, also for
 * reading, and takes an AbortSignal.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { parseCursor, parseEvent } from './wire/events';
import { SSEDecoder, type ISSEMessage } from './wire/sse';
import type {
  IConversation,
  IConversationPatch,
  IConversationSummary,
  IErrorInfo,
  IPreviewRequest,
  IReceipt,
  ISearchHit,
  IStatus,
  ITurn,
  ITurnCreated,
  ITurnPatch,
  ITurnRequest,
  IUsageReport,
  TurnEvent
} from './wire/types';

/** A refusal, or no answer at all (status 0, code `network`). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly info: IErrorInfo
  ) {
    super(info.message);
    this.name = 'ApiError';
  }
}

/** The server says that it does not have it; a 404 of a proxy says nothing. */
export function isGone(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    error.status === 404 &&
    error.info.code === 'not_found'
  );
}

/** Enough pages of this browser read events already: ask for the turns instead. */
export class Crowded extends Error {}

/** What to show of any failure; `network` when it was none of the server's. */
export function errorInfo(error: unknown): IErrorInfo {
  return error instanceof ApiError
    ? error.info
    : { code: 'network', message: String(error) };
}

export interface IReadFrom {
  id: string;
  /** '0' is the beginning */
  cursor: string;
}

export interface IRead {
  id: string;
  cursor: string;
  /** null: an event this version does not know; its cursor counts all the same */
  event: TurnEvent | null;
}

export type ExportFormat = 'md' | 'ipynb' | 'json';

/** How long a request that is no stream may take, in milliseconds. */
const PATIENCE = 60_000;

/** Asks without a trace of activity: a poll must not keep an idle server alive. */
const QUIET = 'no_track_activity=1';

/** `getRandomValues` works over plain HTTP, `randomUUID` does not. */
export function requestKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

export class Api {
  constructor(
    private readonly settings: ServerConnection.ISettings = ServerConnection.makeSettings()
  ) {}

  /** Tells servers on one origin apart: storage and channels are named by it. */
  get scope(): string {
    return this.settings.baseUrl;
  }

  status(): Promise<IStatus> {
    return this.json('GET', `status?${QUIET}`);
  }

  usage(): Promise<IUsageReport> {
    return this.json('GET', 'usage');
  }

  /** Posts once more with the same key when no answer came: never asks twice. */
  async postTurn(request: ITurnRequest): Promise<ITurnCreated> {
    try {
      return await this.json('POST', 'turns', request);
    } catch (error) {
      if (error instanceof ApiError && error.status === 0) {
        return this.json('POST', 'turns', request);
      }
      throw error;
    }
  }

  turn(id: string): Promise<ITurn> {
    return this.json('GET', `turns/${id}?${QUIET}`);
  }

  patchTurn(id: string, patch: ITurnPatch): Promise<ITurn> {
    return this.json('PATCH', `turns/${id}`, patch);
  }

  async deleteTurn(id: string): Promise<void> {
    await this.request('DELETE', `turns/${id}`);
  }

  async stopTurn(id: string): Promise<void> {
    await this.request('POST', `turns/${id}/stop`, {});
  }

  async conversations(query = ''): Promise<IConversationSummary[]> {
    const path = query
      ? `conversations?q=${encodeURIComponent(query)}`
      : `conversations?${QUIET}`;
    const answer = await this.json<
      IConversationSummary[] | { conversations: IConversationSummary[] }
    >('GET', path);
    return Array.isArray(answer) ? answer : answer.conversations;
  }

  conversation(id: string): Promise<IConversation> {
    return this.json('GET', `conversations/${id}`);
  }

  async patchConversation(
    id: string,
    patch: IConversationPatch
  ): Promise<void> {
    await this.request('PATCH', `conversations/${id}`, patch);
  }

  async deleteConversation(id: string): Promise<void> {
    await this.request('DELETE', `conversations/${id}`);
  }

  /** A new conversation that begins with the summary a `compact` turn made. */
  conversationFrom(turnId: string): Promise<IConversation> {
    return this.json('POST', 'conversations', { from_turn: turnId });
  }

  async export(id: string, format: ExportFormat): Promise<Blob> {
    const path = `conversations/${id}/export?format=${format}`;
    return (await this.request('GET', path)).blob();
  }

  preview(request: IPreviewRequest, signal: AbortSignal): Promise<IReceipt> {
    return this.json('POST', 'context/preview', request, signal);
  }

  async search(query: string, signal?: AbortSignal): Promise<ISearchHit[]> {
    const answer = await this.json<{ hits: ISearchHit[] }>(
      'GET',
      `search?q=${encodeURIComponent(query)}`,
      undefined,
      signal
    );
    return answer.hits;
  }

  /**
   * The events of these turns in one response, in batches of what arrived
   * together. Ends when the server ends it; aborting the signal closes it.
   * Throws `Crowded`.
   */
  async *events(
    from: readonly IReadFrom[],
    signal: AbortSignal
  ): AsyncGenerator<IRead[]> {
    const query = from
      .map(turn => `turn=${turn.id}:${encodeURIComponent(turn.cursor)}`)
      .join('&');
    const response = await this.request(
      'GET',
      `events?${query}&page=${this.page}`,
      undefined,
      signal
    );
    if (response.status === 204) {
      throw new Crowded();
    }
    const reader = response.body?.getReader();
    if (!reader) {
      return;
    }
    const decoder = new SSEDecoder();
    const batches = new Batches(from);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          return;
        }
        const reads = batches.take(decoder.feed(value));
        // Also when only a comment came: the line is alive.
        yield reads;
      }
    } finally {
      void reader.cancel().catch(() => undefined);
    }
  }

  private async json<T>(
    method: string,
    path: string,
    body?: object,
    signal?: AbortSignal
  ): Promise<T> {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), PATIENCE);
    const give = () => patience.abort();
    signal?.addEventListener('abort', give);
    try {
      const response = await this.request(method, path, body, patience.signal);
      return (await response.json()) as T;
    } catch (error) {
      throw error instanceof ApiError || signal?.aborted
        ? error
        : new ApiError(0, { code: 'network', message: String(error) });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', give);
    }
  }

  private async request(
    method: string,
    path: string,
    body?: object,
    signal?: AbortSignal
  ): Promise<Response> {
    const url = URLExt.join(this.settings.baseUrl, 'cellar/api/', path);
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(
        url,
        {
          method,
          signal,
          ...(body === undefined ? {} : { body: JSON.stringify(body) })
        },
        this.settings
      );
    } catch (error) {
      if (signal?.aborted) {
        throw error;
      }
      throw new ApiError(0, { code: 'network', message: String(error) });
    }
    if (!response.ok) {
      throw new ApiError(response.status, await refusal(response));
    }
    return response;
  }

  /** Tells the server the windows of a browser apart. */
  private readonly page = requestKey();
}

/**
 * Messages in, reads out. Only the last event of a batch carries the cursor (no
 * reader shall go on in the middle of one), so the ones before it wait for it:
 * it tells whose they are.
 */
export class Batches {
  constructor(private readonly from: readonly IReadFrom[]) {}

  take(messages: readonly ISSEMessage[]): IRead[] {
    const reads: IRead[] = [];
    for (const message of messages) {
      this.waiting.push(parseEvent(message.data));
      if (!message.ownId) {
        continue;
      }
      const { index, cursor } = parseCursor(message.id);
      const id = this.from[index]?.id;
      if (id !== undefined) {
        reads.push(...this.waiting.map(event => ({ id, cursor, event })));
      }
      this.waiting = [];
    }
    return reads;
  }

  private waiting: (TurnEvent | null)[] = [];
}

/** `{"error": {...}}` is ours; anything else came from something in between. */
async function refusal(response: Response): Promise<IErrorInfo> {
  const text = await response.text().catch(() => '');
  try {
    const body = JSON.parse(text) as { error?: IErrorInfo } | null;
    if (body?.error && typeof body.error.code === 'string') {
      return body.error;
    }
  } catch {
    // not JSON: a proxy's page
  }
  return {
    code: CODE_OF_STATUS[response.status] ?? 'server_error',
    message: `${response.status} ${response.statusText}`
  };
}

const CODE_OF_STATUS: Record<number, string> = {
  401: 'signed_out',
  403: 'signed_out',
  404: 'extension_missing',
  413: 'too_large',
  502: 'network',
  503: 'network',
  504: 'network'
};
