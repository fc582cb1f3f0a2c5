// The manifests of both browsers. docs/extension.md explains each permission.
const optional = ['https://*/*', 'http://*/*'];

const shared = (version) => ({
  manifest_version: 3,
  name: 'Codio CDN',
  version,
  description: 'Files by their CID, from peers and gateways: codio:// links anywhere, and one node for all sites and tabs.',
  icons: { 16: 'icons/16.png', 32: 'icons/32.png', 48: 'icons/48.png', 128: 'icons/128.png' },
  action: { default_popup: 'popup.html', default_title: 'Codio CDN', default_icon: { 16: 'icons/16.png', 32: 'icons/32.png' } },
  options_ui: { page: 'options.html', open_in_tab: true },
  omnibox: { keyword: 'codio' },
  content_security_policy: { extension_pages: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'" },
  optional_permissions: ['webRequest'],
  optional_host_permissions: optional,
});

const permissions = ['activeTab', 'contextMenus', 'notifications', 'scripting', 'storage', 'webNavigation'];

export const manifests = {
  chrome: (version) => ({
    ...shared(version),
    minimum_chrome_version: '124',
    permissions: [...permissions, 'offscreen'],
    background: { service_worker: 'background.js', type: 'module' },
    web_accessible_resources: [{ resources: ['bridge.html'], matches: optional, use_dynamic_url: true }],
  }),
  firefox: (version) => ({
    ...shared(version),
    permissions,
    background: { scripts: ['background.js'], type: 'module' },
    browser_specific_settings: {
      gecko: { id: 'codio@codio.example', strict_min_version: '142.0', data_collection_permissions: { required: ['none'] } },
    },
    protocol_handlers: ['web+codio', 'ext+codio'].map((protocol) => ({ protocol, name: 'Codio', uriTemplate: '/view.html?u=%s' })),
  }),
};
