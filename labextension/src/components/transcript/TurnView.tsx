/**
 * One turn: question, answer, and what can be done with it. Far from the screen
 * it is an empty box of about its height: a long chat draws what is looked at.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  caretLeftIcon,
  caretRightIcon,
  refreshIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';

import { shortTokens } from '../../chat/meter';
import { isRunning } from '../../chat/tree';
import type { ITurn } from '../../wire/types';
import { IconButton } from '../buttons';
import { figure } from '../figures';
import { busyWords, useBusy, useRoom } from '../room';
import { Answer } from './Answer';
import { answerText } from './chain';
import { CopyButton, Question } from './Question';
import { neverLeft, Receipt, speedOf } from './Receipt';

export interface ITurnViewProps {
  turn: ITurn;
  /** the turns that stand in this place, this one among them */
  places: readonly string[];
  last: boolean;
  /** the answers that go on with one another, this one among them */
  chain: readonly ITurn[];
  /** asked on this page just now: its question goes to the top */
  fresh: boolean;
  /** draw it at once, wherever it is */
  near: boolean;
  observe(node: HTMLElement, show: () => void): () => void;
}

export const TurnView = React.memo(Turn, sameTurn);

function Turn(props: ITurnViewProps): JSX.Element {
  const { turn, last, fresh, near, observe } = props;
  const host = React.useRef<HTMLDivElement>(null);
  const [shown, setShown] = React.useState(near);
  React.useEffect(() => {
    if (!shown && host.current) {
      return observe(host.current, () => setShown(true));
    }
    return undefined;
  }, [shown, observe]);
  return (
    <div
      ref={host}
      className="jp-Cellar-turn"
      data-turn={turn.id}
      data-state={turn.state}
      data-last={last || undefined}
      data-fresh={(last && fresh) || undefined}
      style={shown ? undefined : { height: roughHeight(turn, props.chain) }}
    >
      {shown ? <TurnBody {...props} /> : null}
    </div>
  );
}

function sameTurn(a: ITurnViewProps, b: ITurnViewProps): boolean {
  return (
    a.turn === b.turn &&
    a.last === b.last &&
    a.chain.length === b.chain.length &&
    a.chain.every((turn, index) => turn === b.chain[index]) &&
    a.fresh === b.fresh &&
    a.places.join() === b.places.join()
  );
}

function TurnBody(props: ITurnViewProps): JSX.Element {
  const { turn, places, last, chain } = props;
  const { trans } = useRoom();
  const [receipt, setReceipt] = React.useState(false);
  const running = isRunning(turn);
  return (
    <>
      {turn.mode === 'compact' ? (
        <div className="jp-Cellar-divider">
          {running
            ? trans.__('Summing up the conversation…')
            : trans.__('Summary of what was said before')}
        </div>
      ) : turn.continue_of ? null : (
        <Question turn={turn} />
      )}
      <article
        className="jp-Cellar-message"
        aria-label={trans.__('Answer')}
        aria-busy={running}
      >
        <Answer turn={turn} chain={chain} />
        {running ? null : (
          <Footer
            turn={turn}
            chain={chain}
            places={places}
            last={last}
            receipt={receipt}
            toggleReceipt={() => setReceipt(!receipt)}
          />
        )}
        {receipt ? <Receipt turn={turn} /> : null}
      </article>
    </>
  );
}

interface IFooterProps {
  turn: ITurn;
  chain: readonly ITurn[];
  places: readonly string[];
  last: boolean;
  receipt: boolean;
  toggleReceipt(): void;
}

function Footer(props: IFooterProps): JSX.Element {
  const { turn, chain, places, receipt, toggleReceipt } = props;
  const { trans, store } = useRoom();
  const busy = useBusy();
  const text = turn === chain[chain.length - 1] ? answerText(chain) : '';
  return (
    <div className="jp-Cellar-actions">
      {places.length > 1 ? <Pager turn={turn} places={places} /> : null}
      {text ? (
        <CopyButton label={trans.__('Copy answer as Markdown')} text={text} />
      ) : null}
      {turn.mode === 'compact' ? null : (
        <IconButton
          icon={refreshIcon}
          label={trans.__('Answer again')}
          disabled={busy}
          why={busyWords(trans)}
          act={() => {
            void store.regenerate(turn.id).then(keepFocus);
          }}
        />
      )}
      {turn.receipt || turn.usage ? (
        <button
          type="button"
          className="jp-Cellar-receiptButton"
          aria-expanded={receipt}
          aria-label={receiptWords(trans, turn)}
          title={
            neverLeft(turn)
              ? trans.__('What would have been sent')
              : trans.__('What was sent, and what it cost')
          }
          onClick={toggleReceipt}
        >
          {receiptLine(trans, turn)}
        </button>
      ) : null}
    </div>
  );
}

function Pager(props: { turn: ITurn; places: readonly string[] }): JSX.Element {
  const { turn, places } = props;
  const { trans, store } = useRoom();
  const at = places.indexOf(turn.id);
  const go = (index: number, way: string) => {
    void store.showBranch(places[index]);
    keepFocus(`[data-turn="${places[index]}"] .jp-Cellar-pager .jp-mod-${way}`);
  };
  return (
    <span
      className="jp-Cellar-pager"
      role="group"
      aria-label={trans.__('Versions')}
    >
      <IconButton
        className="jp-mod-earlier"
        icon={caretLeftIcon}
        label={trans.__('Earlier version')}
        disabled={at <= 0}
        act={() => go(at - 1, 'earlier')}
      />
      <span aria-live="polite">
        {at + 1}/{places.length}
      </span>
      <IconButton
        className="jp-mod-later"
        icon={caretRightIcon}
        label={trans.__('Later version')}
        disabled={at >= places.length - 1}
        act={() => go(at + 1, 'later')}
      />
    </span>
  );
}

/** The button that was pressed is gone with its turn: the focus goes on nearby. */
function keepFocus(selector?: unknown): void {
  requestAnimationFrame(() => {
    if (document.activeElement !== document.body) {
      return;
    }
    const place =
      typeof selector === 'string'
        ? document.querySelector<HTMLElement>(selector)
        : null;
    const transcript = document.querySelector<HTMLElement>(
      '.jp-Cellar-transcript'
    );
    (place ?? transcript)?.focus({ preventScroll: true });
  });
}

/** "1.2k → 340 · 42/s": prompt, answer, speed. */
function receiptLine(trans: TranslationBundle, turn: ITurn): string {
  if (neverLeft(turn)) {
    return trans.__('not sent');
  }
  const { usage, receipt } = turn;
  const sent = usage?.prompt || receipt?.prompt_tokens || 0;
  const speed = usage ? speedOf(usage) : null;
  return [
    usage?.completion
      ? `${shortTokens(sent)} → ${shortTokens(usage.completion)}`
      : shortTokens(sent),
    speed ? `${figure(speed)}/s` : ''
  ]
    .filter(Boolean)
    .join(' · ');
}

/** The same in words, for those who hear it. */
function receiptWords(trans: TranslationBundle, turn: ITurn): string {
  if (neverLeft(turn)) {
    return trans.__('Receipt: nothing was sent');
  }
  const { usage, receipt } = turn;
  const sent = usage?.prompt || receipt?.prompt_tokens || 0;
  const speed = usage ? speedOf(usage) : null;
  return [
    trans.__('Receipt'),
    trans._n('%2 token sent', '%2 tokens sent', sent, figure(sent)),
    usage?.completion
      ? trans._n(
          '%2 token received',
          '%2 tokens received',
          usage.completion,
          figure(usage.completion)
        )
      : '',
    speed ? trans.__('%1 tokens per second', figure(speed)) : ''
  ]
    .filter(Boolean)
    .join(', ');
}

/** Pixels; only the scroll bar sees it. */
function roughHeight(turn: ITurn, chain: readonly ITurn[]): number {
  const parts =
    turn === chain[0] ? chain.flatMap(each => each.parts ?? []) : [];
  const text = parts.reduce(
    (sum, part) => sum + part.text.length,
    turn.text.length
  );
  return 90 + Math.ceil(text / 48) * 19;
}
