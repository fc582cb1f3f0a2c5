import { mayHoldCodioUrl, replaceCodioUrls, type Grammar } from './codio-url';
import { patch } from './rewrite-requests';
import type { Targets, Use } from './rewrite-targets';

/** By local name: which attributes a browser loads or follows. */
const attributes: Record<string, readonly string[]> = {
  a: ['href', 'xlink:href'],
  area: ['href'],
  audio: ['src'],
  embed: ['src'],
  feImage: ['href', 'xlink:href'],
  iframe: ['src'],
  image: ['href', 'xlink:href'],
  img: ['src', 'srcset'],
  input: ['src'],
  link: ['href', 'imagesrcset'],
  object: ['data'],
  script: ['src', 'href', 'xlink:href'],
  source: ['src', 'srcset'],
  track: ['src'],
  use: ['href', 'xlink:href'],
  video: ['src', 'poster'],
};

const observed = [...new Set(Object.values(attributes).flat()), 'style'];
/** A superset of what is to be rewritten, found by the browser's own code. */
const selector = [
  ...observed.filter((name) => !name.includes(':')).map((name) => `[${name}*="codio:"]`),
  '[*|href*="codio:"]',
  'style',
].join();

/** Properties that set these attributes. */
const properties: [string, readonly string[]][] = [
  ['HTMLAnchorElement', ['href']],
  ['HTMLAreaElement', ['href']],
  ['HTMLEmbedElement', ['src']],
  ['HTMLIFrameElement', ['src']],
  ['HTMLImageElement', ['src', 'srcset']],
  ['HTMLInputElement', ['src']],
  ['HTMLLinkElement', ['href', 'imageSrcset']],
  ['HTMLMediaElement', ['src']],
  ['HTMLObjectElement', ['data']],
  ['HTMLScriptElement', ['src']],
  ['HTMLSourceElement', ['src', 'srcset']],
  ['HTMLTrackElement', ['src']],
  ['HTMLVideoElement', ['poster']],
];

const media = new Set(['audio', 'video']);
const pages = new Set(['a', 'area', 'embed', 'iframe', 'object']);

function useOf(element: Element): Use {
  const name = element.localName;
  if (name === 'script') return 'script';
  if (pages.has(name)) return 'page';
  if (media.has(name) || (name === 'source' && media.has(element.parentElement?.localName ?? ''))) return 'media';
  if (name !== 'link') return 'file';
  const { relList, as } = element as HTMLLinkElement;
  if (relList.contains('stylesheet') || as === 'style') return 'style';
  if (relList.contains('modulepreload') || as === 'script') return 'script';
  return relList.contains('icon') || relList.contains('preload') || relList.contains('prefetch') ? 'file' : 'page';
}

function grammarOf(name: string): Grammar {
  return name === 'style' ? 'css' : name.endsWith('srcset') ? 'srcset' : 'url';
}

/**
 * Rewrites the codio URLs of the document and of all shadow roots, present and to come, and those that scripts give to
 * elements and style sheets, even outside of any document. Returns what undoes the patches.
 */
export function rewriteDocument(targets: Targets): () => void {
  const rewriter = new Rewriter(targets);
  rewriter.watch(document);
  return () => rewriter.stop();
}

class Rewriter {
  readonly #targets: Targets;
  readonly #observer = new MutationObserver((records) => this.#handle(records));
  readonly #roots = new Set<Document | ShadowRoot>();
  /** By element and attribute, what the page wrote, and what stands there in its place; nothing while that is not known. */
  readonly #originals = new WeakMap<Element, Map<string, { text: string; written?: string }>>();
  readonly #setAttribute = Element.prototype.setAttribute;
  readonly #undos: (() => void)[] = [];
  #on = true;

  constructor(targets: Targets) {
    this.#targets = targets;
    this.#patchElements();
    this.#patchSheets();
  }

  stop(): void {
    this.#on = false;
    this.#observer.disconnect();
    for (const root of this.#roots) this.#listen(root, 'removeEventListener');
    this.#undos.forEach((undo) => undo());
  }

  watch(root: Document | ShadowRoot): void {
    if (this.#roots.has(root)) return;
    this.#roots.add(root);
    this.#observer.observe(root, {
      subtree: true,
      childList: true,
      characterData: true,
      attributes: true,
      attributeFilter: observed,
    });
    this.#listen(root, 'addEventListener');
    this.#scan(root);
    this.#findShadows(root);
    const { readyState } = document;
    // Roots that the page's source declares come with no mutation.
    if (root === document && readyState === 'loading') {
      root.addEventListener('DOMContentLoaded', () => this.#findShadows(root), { once: true });
    }
    for (const sheet of root.styleSheets) this.#rewriteRules(sheet);
  }

  #listen(root: Document | ShadowRoot, change: 'addEventListener' | 'removeEventListener'): void {
    root[change]('error', this.#handleError, true);
    root[change]('load', this.#handleLoad, true);
    // A link may have been made where nobody watches, such as in a closed shadow root.
    root[change]('click', this.#handleClick, true);
    root[change]('auxclick', this.#handleClick, true);
  }

  #findShadows(root: Document | ShadowRoot): void {
    for (const { shadowRoot } of root.querySelectorAll('*')) if (shadowRoot) this.watch(shadowRoot);
  }

  #handle(records: MutationRecord[]): void {
    let scanned: Node | undefined;
    const styled = new Set<Element>();
    for (const { type, target, addedNodes, attributeName } of records) {
      if (type === 'attributes') {
        if (attributeName === 'style') styled.add(target as Element);
        else this.#visitAttribute(target as Element, attributeName ?? '');
      } else if (type === 'characterData') {
        if (target.parentNode instanceof HTMLStyleElement) this.#visit(target.parentNode);
      } else {
        if (target instanceof HTMLStyleElement) this.#visit(target);
        // The parser reports a whole branch node by node, from its root.
        if (scanned?.contains(target)) continue;
        for (const node of addedNodes) {
          if (!(node instanceof Element)) continue;
          scanned = node;
          this.#visit(node);
          if (node.firstElementChild) this.#scan(node);
        }
      }
    }
    for (const element of styled) this.#visitAttribute(element, 'style');
  }

  #scan(root: ParentNode): void {
    for (const element of root.querySelectorAll(selector)) this.#visit(element);
  }

  #visit(element: Element): void {
    for (const name of attributes[element.localName] ?? []) this.#visitAttribute(element, name);
    this.#visitAttribute(element, 'style');
    if (element instanceof HTMLStyleElement && mayHoldCodioUrl(element.textContent) && element.sheet) {
      this.#rewriteRules(element.sheet);
    }
  }

  #visitAttribute(element: Element, name: string): void {
    if (name !== 'style' && !attributes[element.localName]?.includes(name)) return;
    const text = element.getAttribute(name);
    if (mayHoldCodioUrl(text)) this.#rewriteAttribute(element, name, text);
  }

  /** `text` is, or shall be, in the attribute. */
  #rewriteAttribute(element: Element, name: string, text: string): void {
    const use = name === 'poster' || name === 'style' ? 'file' : useOf(element);
    const originals = this.#originals.get(element) ?? new Map<string, { text: string; written?: string }>();
    this.#originals.set(element, originals);
    const original: { text: string; written?: string } = { text };
    originals.set(name, original);
    this.#replace(text, grammarOf(name), use, (written) => {
      if (originals.get(name) !== original) return;
      const now = element.getAttribute(name);
      original.written = written;
      if (now === written) return;
      if (use === 'script' && now === text) this.#replaceScript(element as HTMLScriptElement, name, written);
      else this.#setAttribute.call(element, name, written);
      const { parentNode } = element;
      // It has tried all its sources before they could be rewritten.
      if (parentNode instanceof HTMLMediaElement && parentNode.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) {
        parentNode.load();
      }
    });
  }

  /** Calls `write` once all codio URLs of the text have a target, at once if they do. */
  #replace(text: string, grammar: Grammar, use: Use, write: (text: string) => void): void {
    const missing: Promise<unknown>[] = [];
    const written = replaceCodioUrls(text, grammar, (address) => {
      const target = this.#targets.resolve(address, use);
      if (typeof target === 'string') return target;
      missing.push(target);
      return address;
    });
    if (missing.length === 0) write(written);
    else void Promise.all(missing).then(() => this.#on && this.#replace(text, grammar, use, write));
  }

  /** A script that a parser has met runs never again; a copy does. */
  #replaceScript(script: HTMLScriptElement, name: string, url: string): void {
    const copy = document.createElementNS(script.namespaceURI, 'script') as HTMLScriptElement;
    for (const { name: other, value } of script.attributes) this.#setAttribute.call(copy, other, value);
    this.#setAttribute.call(copy, name, url);
    copy.nonce = script.nonce;
    copy.text = script.text;
    // In the order of the document, as without us.
    if (!script.hasAttribute('async')) copy.async = false;
    const originals = this.#originals.get(script);
    if (originals) this.#originals.set(copy, originals);
    script.replaceWith(copy);
  }

  /**
   * Firefox reports that it knows no codio: after we have changed that, and what fails later may be had in another way; the
   * elements hear of neither.
   */
  readonly #handleError = (event: Event): void => {
    const element = event.target;
    const originals = element instanceof Element && this.#originals.get(element);
    if (!originals) return;
    for (const [name, { text, written }] of originals) {
      if (name === 'style') continue;
      if (written === undefined) return event.stopImmediatePropagation();
      if (element.getAttribute(name) !== written || written === text) continue;
      const use = name === 'poster' ? 'file' : useOf(element);
      if (isLoading(element)) return event.stopImmediatePropagation();
      let again = false;
      replaceCodioUrls(text, grammarOf(name), (address) => {
        const target = this.#targets.resolve(address, use);
        if (typeof target === 'string' && wasLoading(element, target)) again ||= this.#targets.refuse(address, use, target);
        return address;
      });
      if (!again) continue;
      event.stopImmediatePropagation();
      originals.delete(name);
      this.#retry(element, name, text, written);
      return;
    }
  };

  #retry(element: Element, name: string, text: string, failed: string): void {
    this.#replace(text, grammarOf(name), useOf(element), (written) => {
      if (element.getAttribute(name) !== failed) return;
      const originals = this.#originals.get(element);
      originals?.set(name, { text, written });
      if (element.localName === 'script') this.#replaceScript(element as HTMLScriptElement, name, written);
      else this.#setAttribute.call(element, name, written);
      // There was no other way: now it is an error, which the browser does not report a second time for the same script.
      if (written === text) element.dispatchEvent(new Event('error'));
    });
  }

  readonly #handleLoad = ({ target }: Event): void => {
    if (target instanceof HTMLLinkElement && target.sheet) this.#rewriteRules(target.sheet);
  };

  readonly #handleClick = (event: Event): void => {
    const link = event.composedPath().find((node) => node instanceof HTMLAnchorElement);
    if (!link) return;
    this.#visit(link);
    if (this.#targets.served !== undefined || !mayHoldCodioUrl(link.getAttribute('href'))) return;
    event.preventDefault();
    void this.#targets.ready.then(() => link.click());
  };

  #patchElements(): void {
    const give = (element: Element, name: string, value: string) => this.#give(element, name, value);
    const forget = (element: Element, name: string) => this.#originals.get(element)?.delete(name);
    for (const [interfaceName, names] of properties) {
      const prototype = (window as unknown as Record<string, { prototype: object } | undefined>)[interfaceName]?.prototype;
      for (const property of prototype ? names : []) {
        const descriptor = Object.getOwnPropertyDescriptor(prototype, property);
        const set = descriptor?.set;
        if (!descriptor || !set) continue;
        const name = property.toLowerCase();
        const ours = function (this: Element, value: unknown): void {
          if (typeof value === 'string' && mayHoldCodioUrl(value)) return give(this, name, value);
          forget(this, name);
          set.call(this, value);
        };
        Object.defineProperty(prototype, property, { ...descriptor, set: ours });
        this.#undos.push(() => {
          if (Object.getOwnPropertyDescriptor(prototype, property)?.set === ours) {
            Object.defineProperty(prototype, property, descriptor);
          }
        });
      }
    }
    const native = this.#setAttribute;
    this.#undos.push(
      patch(
        Element.prototype,
        'setAttribute',
        () =>
          function setAttribute(this: Element, name: string, value: string) {
            if (typeof value === 'string' && mayHoldCodioUrl(value) && attributes[this.localName]?.includes(name)) {
              return give(this, name, value);
            }
            forget(this, name);
            native.call(this, name, value);
          },
      ),
    );
    const watch = (root: ShadowRoot) => this.#on && this.watch(root);
    this.#undos.push(
      patch(
        Element.prototype,
        'attachShadow',
        (original) =>
          function attachShadow(this: Element, options) {
            const root = original.call(this, options);
            watch(root);
            return root;
          },
      ),
    );
  }

  /** The element gets the attribute when its target is known, so that it never tries what it cannot load. Links load nothing. */
  #give(element: Element, name: string, value: string): void {
    if (!this.#on || name.endsWith('href')) this.#setAttribute.call(element, name, value);
    if (this.#on) this.#rewriteAttribute(element, name, value);
  }

  #patchSheets(): void {
    const rewrite = (rules: RuleOwner) => this.#on && this.#rewriteRules(rules);
    const prototypes: RuleOwner[] = [CSSStyleSheet.prototype, CSSGroupingRule.prototype];
    for (const prototype of prototypes) {
      this.#undos.push(
        patch(
          prototype,
          'insertRule',
          (original) =>
            function insertRule(this: RuleOwner, rule: string, index?: number) {
              const at = original.call(this, rule, index);
              if (mayHoldCodioUrl(rule)) rewrite(this);
              return at;
            },
        ),
      );
    }
    this.#undos.push(
      patch(
        CSSStyleSheet.prototype,
        'replaceSync',
        (original) =>
          function replaceSync(this: CSSStyleSheet, text: string) {
            original.call(this, text);
            if (mayHoldCodioUrl(text)) rewrite(this);
          },
      ),
      patch(
        CSSStyleSheet.prototype,
        'replace',
        (original) =>
          async function replace(this: CSSStyleSheet, text: string) {
            await original.call(this, text);
            if (mayHoldCodioUrl(text)) rewrite(this);
            return this;
          },
      ),
    );
  }

  /** Through the rules and not through the text, which a Content-Security-Policy may have allowed by its hash. */
  #rewriteRules(owner: RuleOwner): void {
    let rules: CSSRuleList;
    try {
      rules = owner.cssRules;
    } catch {
      // Another origin's; it is told to nobody that it has codio URLs.
      return;
    }
    [...rules].forEach((rule) => this.#rewriteRule(owner, rule));
  }

  #rewriteRule(owner: RuleOwner, rule: CSSRule): void {
    if (rule instanceof CSSImportRule) {
      if (rule.styleSheet) this.#rewriteRules(rule.styleSheet);
      if (mayHoldCodioUrl(rule.href)) this.#replace(rule.cssText, 'css', 'style', (text) => replaceRule(owner, rule, text));
      return;
    }
    if (!mayHoldCodioUrl(rule.cssText)) return;
    if (rule instanceof CSSFontFaceRule) {
      this.#replace(rule.cssText, 'css', 'file', (text) => replaceRule(owner, rule, text));
      return;
    }
    if ('style' in rule) {
      const style = rule.style as CSSStyleDeclaration;
      const before = style.cssText;
      this.#replace(before, 'css', 'file', (text) => {
        if (text !== before && style.cssText === before) style.cssText = text;
      });
    }
    if ('cssRules' in rule) this.#rewriteRules(rule as CSSGroupingRule);
  }
}

type RuleOwner = Pick<CSSStyleSheet, 'cssRules' | 'insertRule' | 'deleteRule'>;

/** Whose parts the browser lets nobody change. */
function replaceRule(owner: RuleOwner, rule: CSSRule, text: string): void {
  const at = [...owner.cssRules].indexOf(rule);
  if (at < 0 || text === rule.cssText) return;
  owner.deleteRule(at);
  owner.insertRule(text, at);
}

/** Or has loaded something else than what failed: the error is of what stood there before. */
function isLoading(element: Element): boolean {
  if (element instanceof HTMLImageElement) return !element.complete || element.naturalWidth > 0;
  if (element instanceof HTMLMediaElement) return element.error === null;
  return false;
}

/** Whether that is what the element took, of several that it may have had. */
function wasLoading(element: Element, url: string): boolean {
  return !(element instanceof HTMLImageElement) || element.currentSrc === '' || element.currentSrc === url;
}
