// The codio program: reads the command line, runs one command, tells how it ended.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/content.h"
#include "cli/dht.h"
#include "cli/log.h"
#include "cli/options.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "gateway/gateway_url.h"
#include "node/content_path.h"
#include "node/router_finder.h"
#include "rendezvous/bus.h"

namespace codio::cli {
namespace {

enum ExitStatus : int { kOk = 0, kFailure = 1, kUsage = 2, kInterrupted = 130 };

using Command = std::function<Result<void>()>;

/// Refuses an argument that `parse` refuses, while the command line is read: that is a mistake of usage, and what fails
/// later is a failure.
template <class Parse>
std::function<std::string(const std::string&)> valid(Parse parse) {
  return [parse](const std::string& text) {
    const auto parsed = parse(text);
    return parsed ? std::string() : parsed.error().message;
  };
}

Result<content_id::unixfs::Profile> parse_profile(const std::string& name) {
  namespace unixfs = content_id::unixfs;
  if (const auto profile = unixfs::find_profile(name)) return *profile;
  return fail(ErrorCode::kMalformed, "there is no profile '" + name + "'; there are " +
                                         std::string(unixfs::kUnixfsV1_2025.name) + " and " +
                                         std::string(unixfs::kUnixfsV0_2015.name));
}

const auto kContentPath = valid(node::parse_content_path);
const auto kCid = valid(content_id::ContentId::parse);

void add_common_options(CLI::App& app, CommonOptions& common) {
  app.add_option("--repo", common.repo, "Folder of the blocks (default: $CODIO_REPO, else ~/.codio)")->type_name("DIR");
  app.add_flag("--json", common.json, "Print JSON, errors too: {\"error\":{\"code\":…,\"message\":…}}");
  app.add_flag("-v,--verbose", common.verbose, "Tell on the standard error what happens");
  auto* gateways = app.add_option("--gateway", common.gateways,
                                  "Fetch what no peer has from this gateway; repeat it for others to fall back to "
                                  "(default: https://ipfs.io/ipfs/)");
  gateways->type_name("URL")
      ->check(valid(gateway::parse_gateway_url))
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  app.add_flag("--no-gateway", common.no_gateway, "Ask no gateway")->excludes(gateways);
  app.add_option("--rendezvous", common.rendezvous,
                 "Find peers there: ws://HOST:PORT/rendezvous; may be repeated. URL,URL are nodes on one bus: one is "
                 "used, and the next when it fails")
      ->type_name("URL")
      ->check(valid(parse_rendezvous))
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  app.add_option(
         "--dht-bootstrap", common.dht_bootstrap,
         "Join the DHT there instead of the public one: HOST:PORT of any node of a network of your own, or none "
         "to begin one; may be repeated")
      ->type_name("NODE")
      ->check(valid(parse_bootstrap))
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  app.add_option("--dht-port", common.dht_port, "UDP port of the DHT (default: any)")->type_name("PORT");
  app.add_flag("--no-dht", common.no_dht, "Neither search nor announce in the DHT");
  app.add_option("--router", common.routers,
                 "Also ask this Delegated Routing V1 server who has it, such as https://delegated-ipfs.dev; it learns "
                 "what you look for; may be repeated")
      ->type_name("URL")
      ->check(valid(node::parse_router_url))
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  app.add_option("--ice-server", common.ice_servers,
                 "Reach peers behind NATs with stun:HOST:PORT or turn:HOST:PORT,USER,CREDENTIAL; may be repeated")
      ->type_name("URL")
      ->check(valid([](const std::string& text) { return parse_ice_servers({text}); }))
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  app.add_flag("--relay-only", common.relay_only, "Connect through TURN servers only, which hides this address");
  app.add_option("--max-upload", common.max_upload, "Give peers at most this much a second: 500K, 2.5M, none")
      ->type_name("RATE")
      ->check(valid(parse_rate));
  app.add_option("--max-download", common.max_download, "Take at most this much a second from peers and gateways")
      ->type_name("RATE")
      ->check(valid(parse_rate));
  app.add_option("--upload-slots", common.upload_slots,
                 "Peers served at a time; others wait for their turn (default: " +
                     std::to_string(transfer::Limits().upload_slots) + ")")
      ->type_name("N")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--store-limit", common.store_limit,
                 "Keep at most this much: 500M, 10G, none; what is not pinned goes first, the least used before others")
      ->type_name("SIZE")
      ->check(valid(parse_size));
}

CLI::App* subcommand(CLI::App& app, const char* name, const char* what, const char* examples) {
  return app.add_subcommand(name, what)->fallthrough()->footer(std::string("Examples:\n") + examples);
}

/// What the command line may hold, and the command that it chose.
struct CommandLine {
  CommonOptions common;
  AddOptions add;
  GetOptions get;
  CatOptions cat;
  CarOptions car;
  PinOptions pin;
  VerifyOptions verify;
  bool dry_run = false;
  ServeOptions serve;
  FindOptions find;
  ProvideOptions provide;
  StatusOptions status{.version = CODIO_VERSION};
  std::string path;
  Command command;
  bool is_well = true;  ///< False: the command did what it should, and found a problem.
};

void define_add(CLI::App& app, CommandLine& line) {
  auto* add = subcommand(app, "add", "Add files and directories, and print their CIDs",
                         "  codio add photo.jpg              CID  photo.jpg\n"
                         "  codio add -Q site/               only the CID, for scripts\n"
                         "  codio add --only-hash big.iso    what would its CID be? Stores nothing\n"
                         "  codio add --nocopy films/        takes no second place on the disk\n"
                         "  codio add --profile unixfs-v0-2015 photo.jpg    as older IPFS programs do: Qm…");
  add->add_option("PATH", line.add.paths, "Files, directories or symlinks")->required()->type_name("");
  add->add_flag("-Q,--quiet", line.add.quiet, "Print only the CID");
  add->add_flag("--only-hash", line.add.only_hash, "Compute the CID and store nothing");
  add->add_flag("--nocopy", line.add.nocopy,
                "Store where the files are, not their bytes. A file that changes later is not served any more");
  add->add_flag("--hidden", line.add.hidden, "Also names below a directory that begin with a dot");
  add->add_option("--profile", line.add.profile, "How to cut files into blocks, which decides the CID")
      ->capture_default_str()
      ->type_name("NAME")
      ->check(valid(parse_profile));
  add->callback([&line] { line.command = [&line] { return cli::add(line.common, line.add); }; });
}

void define_reading(CLI::App& app, CommandLine& line) {
  auto* get = subcommand(app, "get", "Fetch a file or directory; run it again to go on where it stopped",
                         "  codio get bafybei…                     into ./bafybei…\n"
                         "  codio get bafybei…/photos -o album     a directory, as ./album\n"
                         "  codio get --rendezvous ws://127.0.0.1:8080/rendezvous bafybei…    from peers");
  get->add_option("PATH", line.get.path, "CID[/path]")->required()->type_name("")->check(kContentPath);
  get->add_option("-o,--output", line.get.output, "Where to; must not exist")->type_name("PATH");
  get->callback([&line] { line.command = [&line] { return cli::get(line.common, line.get); }; });

  auto* cat = subcommand(app, "cat", "Write a file to the standard output",
                         "  codio cat bafybei…/README.md\n"
                         "  codio cat bafkrei… --range 0-1023    the first KiB\n"
                         "  codio cat bafkrei… --range=-16       the last 16 bytes");
  cat->add_option("PATH", line.cat.path, "CID[/path]")->required()->type_name("")->check(kContentPath);
  cat->add_option("--range", line.cat.range, "Bytes A-B (both inclusive, from 0), A- or -N")
      ->type_name("A-B")
      ->check(valid(RangeText::parse));
  cat->callback([&line] { line.command = [&line] { return cli::cat(line.common, line.cat); }; });

  auto* ls = subcommand(app, "ls", "List a directory, or what was added here",
                        "  codio ls             CID  SIZE  NAME of everything that was added\n"
                        "  codio ls bafybei…    the entries of a directory");
  ls->add_option("PATH", line.path, "CID[/path]")->type_name("")->check(kContentPath);
  ls->callback([&line] { line.command = [&line] { return cli::ls(line.common, line.path); }; });

  auto* stat = subcommand(app, "stat", "Tell what a CID is, and how much of it is here",
                          "  codio stat bafybei…\n"
                          "  codio stat --json --no-gateway bafybei…/photos");
  stat->add_option("PATH", line.path, "CID[/path]")->required()->type_name("")->check(kContentPath);
  stat->callback([&line] { line.command = [&line] { return cli::stat(line.common, line.path); }; });
}

void define_keeping(CLI::App& app, CommandLine& line) {
  auto* rm = subcommand(app, "rm", "Forget what was added, and remove the blocks that nothing else needs",
                        "  codio ls             what is there?\n"
                        "  codio rm bafybei…    other content that shares blocks stays whole");
  rm->add_option("CID", line.path, "As `codio ls` lists it")->required()->type_name("")->check(kCid);
  rm->callback([&line] { line.command = [&line] { return cli::rm(line.common, line.path); }; });

  auto* pin = subcommand(app, "pin", "Keep content with all that it links to; what was added is pinned",
                         "  codio pin add bafybei…    fetches what is not here, and keeps it\n"
                         "  codio pin ls              CID  SIZE  NAME\n"
                         "  codio pin rm bafybei…     keeps it no more; `codio gc` then removes it");
  pin->require_subcommand(1);
  auto* pin_add = subcommand(*pin, "add", "Fetch content as `codio get` does, and keep it",
                             "  codio pin add bafybei…\n"
                             "  codio pin add --name site --gateway https://ipfs.io/ipfs/ bafybei…");
  pin_add->add_option("CID", line.pin.cids, "What to keep")->required()->type_name("")->check(kCid);
  pin_add->add_option("--name", line.pin.name, "What `codio pin ls` calls it")->type_name("NAME");
  pin_add->callback([&line] { line.command = [&line] { return cli::pin_add(line.common, line.pin); }; });
  auto* pin_rm = subcommand(*pin, "rm", "Keep content no more; its blocks stay until `codio gc`",
                            "  codio pin rm bafybei… && codio gc");
  pin_rm->add_option("CID", line.pin.cids, "As `codio pin ls` lists it")->required()->type_name("")->check(kCid);
  pin_rm->callback([&line] { line.command = [&line] { return cli::pin_rm(line.common, line.pin); }; });
  auto* pin_ls = subcommand(*pin, "ls", "List what is kept",
                            "  codio pin ls\n"
                            "  codio pin ls --json | jq -r '.[].cid'");
  pin_ls->callback([&line] { line.command = [&line] { return cli::pin_ls(line.common); }; });

  auto* gc = subcommand(app, "gc", "Remove the blocks that no pin needs; beside a running node too",
                        "  codio gc --dry-run    what would go?\n"
                        "  codio gc              what imports and downloads that run may need stays");
  gc->add_flag("--dry-run", line.dry_run, "Tell what would go, and remove nothing");
  gc->callback([&line] { line.command = [&line] { return cli::gc(line.common, line.dry_run); }; });

  auto* verify = subcommand(app, "verify", "Hash every block, and look whether all that is pinned is here",
                            "  codio verify               lists what is bad or missing; exits with 1 if anything is\n"
                            "  codio verify bafybei…      only what is below\n"
                            "  codio verify --repair --rendezvous ws://127.0.0.1:8080/rendezvous    fetch it again");
  verify->add_option("CID", line.verify.cids, "Only these, pinned or not")->type_name("")->check(kCid);
  verify->add_flag("--repair", line.verify.repair,
                   "Fetch from peers and gateways what a pin needs, and remove what is bad otherwise");
  verify->callback([&line] { line.command = [&line] { return cli::verify(line.common, line.verify); }; });

  auto* repo = subcommand(app, "repo", "Tell of the repo, the folder of the blocks", "  codio repo stat");
  repo->require_subcommand(1);
  auto* repo_stat = subcommand(*repo, "stat", "Count blocks, bytes, pins, references, and the disk space they take",
                               "  codio repo stat\n"
                               "  codio repo stat --json | jq .diskBytes");
  repo_stat->callback([&line] { line.command = [&line] { return cli::repo_stat(line.common); }; });

  auto* car = subcommand(app, "car", "Move content in archives (CAR files)",
                         "  codio car export bafybei… -o site.car\n"
                         "  codio car import site.car");
  car->require_subcommand(1);
  auto* car_export = subcommand(*car, "export", "Write all blocks below a CID as a CAR",
                                "  codio car export bafybei… -o site.car\n"
                                "  codio car export bafybei… | ssh host codio car import -");
  car_export->add_option("CID", line.car.cid, "What to export; it must be whole here")
      ->required()
      ->type_name("")
      ->check(kCid);
  car_export->add_option("-o,--output", line.car.file, "File to make (default: the standard output)")
      ->type_name("FILE");
  car_export->callback([&line] { line.command = [&line] { return cli::car_export(line.common, line.car); }; });
  auto* car_import = subcommand(*car, "import", "Verify the blocks of a CAR, keep them, and print its roots",
                                "  codio car import site.car\n"
                                "  curl https://…/site.car | codio car import -");
  car_import->add_option("FILE", line.car.file, "The archive; - is the standard input")->required()->type_name("");
  car_import->callback([&line] { line.command = [&line] { return cli::car_import(line.common, line.car); }; });
}

void define_id(CLI::App& app, CommandLine& line) {
  auto* id = subcommand(app, "id", "Print this peer's id, which its key in the repo makes",
                        "  codio id\n"
                        "  codio --repo /srv/codio id --json");
  id->callback([&line] { line.command = [&line] { return cli::id(line.common); }; });
}

void define_finding(CLI::App& app, CommandLine& line) {
  auto* find = subcommand(app, "find", "Print who provides content, as they are found in the DHT and by routers",
                          "  codio find bafybei…                 peer id, address, latency, ways to reach it\n"
                          "  codio find bafybei… --timeout 5     wait no longer than 5 seconds\n"
                          "  codio --router https://delegated-ipfs.dev find bafybei…\n"
                          "                                      ask a router, too\n"
                          "  codio find bafybei… --json          an object a line");
  find->add_option("CID", line.find.cid, "What to look for")->required()->type_name("")->check(kCid);
  find->add_option("--timeout", line.find.timeout, "Seconds")
      ->capture_default_str()
      ->type_name("TIME")
      ->check(valid(parse_timeout));
  find->callback([&line] { line.command = [&line] { return cli::find(line.common, line.find); }; });

  auto* provide =
      subcommand(app, "provide", "Announce some of the content that is here, and serve it, until Ctrl-C",
                 "  codio provide --http 0.0.0.0:8080 bafybei…           only this, of all that is here\n"
                 "  codio provide --http 0.0.0.0:8080 --once bafybei…    announce it for half an hour; what\n"
                 "                                                       serves it is up to you");
  provide->add_option("CID", line.provide.cids, "What to announce; it must be whole here")
      ->required()
      ->type_name("")
      ->check(kCid);
  provide->add_option("--http", line.provide.http, "Address where it is served")
      ->capture_default_str()
      ->type_name("ADDRESS:PORT")
      ->check(valid(node::Endpoint::parse));
  provide->add_flag("--once", line.provide.once, "Announce it once, say under which address it is found, and end");
  provide->callback([&line] { line.command = [&line] { return cli::provide(line.common, line.provide); }; });
}

/// What `serve` has as a web server.
void define_web(CLI::App& serve, ServeOptions& options) {
  auto* site = serve.add_flag("--site", options.site,
                              "PATH is a site: show it at /, and what is changed there as soon as it is");
  serve.add_flag("--inject", options.inject, "Put our script into the site's pages, so that visitors serve each other")
      ->needs(site);
  serve.add_flag("--pull", options.pull, "Fetch content that is asked for and is not here from peers");
  serve.add_option("--upstream", options.upstreams, "… and from this gateway; may be repeated")
      ->type_name("URL")
      ->check(valid(gateway::parse_gateway_url))
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  serve
      .add_option("--subdomains", options.subdomains,
                  "Give content an origin of its own at CID.ipfs.NAME, and send who asks NAME/ipfs/CID there; may be "
                  "repeated")
      ->type_name("NAME")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  auto* certificate =
      serve
          .add_option("--tls-cert", options.tls_cert,
                      "Serve HTTPS with this certificate and its chain, PEM; read again when it changes")
          ->type_name("FILE");
  auto* key = serve.add_option("--tls-key", options.tls_key, "Its key, PEM")->type_name("FILE");
  certificate->needs(key);
  key->needs(certificate);
  serve
      .add_option("--denylist", options.deny_lists,
                  "Serve nothing that this list names, such as https://badbits.dwebops.pub has; read again when it "
                  "changes; may be repeated")
      ->type_name("FILE")
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  serve
      .add_option("--access-log", options.access_log,
                  "Append a line of JSON for each request; - is the standard output; opened again on SIGHUP")
      ->type_name("FILE");
  serve
      .add_option("--client-connections", options.client_connections,
                  "HTTP connections of one address at a time, 0: any (default: 128, and any on a loopback address, "
                  "where a proxy may be)")
      ->type_name("N");
}

void define_serve(CLI::App& app, CommandLine& line) {
  auto* serve =
      subcommand(app, "serve", "Serve what was added, to browsers and to other peers, until Ctrl-C",
                 "  codio serve site/                  then open http://127.0.0.1:8080\n"
                 "  codio serve --http 0.0.0.0:80      to the world\n"
                 "  codio serve --site public/         a web site, kept up to date\n"
                 "  codio serve --pull --upstream https://trustless-gateway.link/ipfs/    a gateway to all of IPFS\n"
                 "  codio serve --http 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem\n"
                 "  codio serve --bus nats://10.0.0.1  one of several nodes whose clients find each other\n"
                 "  codio serve --ice-server turn:turn.example.net --turn-secret-file /etc/codio/turn\n"
                 "  codio serve --http 127.0.0.1:0 --json    for scripts: an event a line, any free port");
  serve->add_option("PATH", line.serve.paths, "Files and directories to add first")->type_name("");
  serve->add_flag("--nocopy", line.serve.nocopy, "Add them as `codio add --nocopy` does");
  serve->add_option("--http", line.serve.http, "Address to listen on; port 0 takes a free one")
      ->capture_default_str()
      ->type_name("ADDRESS:PORT")
      ->check(valid(node::Endpoint::parse));
  serve->add_option("--web-root", line.serve.web_root, "Serve the browser's files from here, for their development")
      ->type_name("DIR")
      ->check(CLI::ExistingDirectory);
  serve
      ->add_option("--bus", line.serve.bus,
                   "Be one rendezvous with the other nodes on this NATS server: nats://[USER:PASSWORD@|TOKEN@]HOST, "
                   "tls:// to encrypt; several of a cluster separated by commas")
      ->type_name("URL")
      ->check(valid(rendezvous::check_bus_urls));
  serve
      ->add_option("--turn-secret-file", line.serve.turn_secret_file,
                   "Give clients time-limited credentials for each --ice-server turn:… without any; the file has "
                   "coturn's static-auth-secret")
      ->type_name("FILE");
  serve->add_option("--turn-lifetime", line.serve.turn_lifetime, "Seconds that such a credential is valid")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(2, 30 * 24 * 60 * 60));
  serve
      ->add_option("--leave-time", line.serve.leave_time,
                   "On SIGTERM, take up to this long to send clients elsewhere; Ctrl-C does not wait")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(0, 600));
  define_web(*serve, line.serve);
  serve->callback([&line] { line.command = [&line] { return cli::serve(line.common, line.serve); }; });
}

void define_node(CLI::App& app, CommandLine& line) {
  auto* peers = subcommand(app, "peers", "List the peers that the running node is connected to",
                           "  codio peers\n"
                           "  codio peers --json | jq length    how many?");
  peers->callback([&line] { line.command = [&line] { return cli::peers(line.common); }; });
  auto* stats = subcommand(app, "stats", "Tell what the running node does: transfers, rates, store, memory, limits",
                           "  codio stats\n"
                           "  watch codio stats\n"
                           "  codio stats --json | jq .uploaded");
  stats->callback([&line] { line.command = [&line] { return cli::stats(line.common); }; });
  auto* limits = subcommand(app, "limits", "Show the running node's limits, or change them until it ends",
                            "  codio limits\n"
                            "  codio limits --max-upload 2M --upload-slots 16\n"
                            "  codio limits --max-upload none --store-limit 20G");
  limits->callback([&line] { line.command = [&line] { return cli::limits(line.common); }; });
}

void define_status(CLI::App& app, CommandLine& line) {
  auto* status =
      subcommand(app, "status", "Tell of the repo and of the node that runs on it, and find what is wrong",
                 "  codio status\n"
                 "  codio status --doctor      tests the NAT, STUN and TURN, the DHT, rendezvous, gateways,\n"
                 "                             clock and disk, and says what to fix; exits with 1 if there\n"
                 "                             is a problem\n"
                 "  codio status --doctor --ice-server stun:HOST:3478 --rendezvous wss://HOST/rendezvous\n"
                 "                             with the options that you give `codio serve`\n"
                 "  codio status --doctor --json | jq '.[] | select(.state != \"ok\")'");
  status->add_flag("--doctor", line.status.doctor,
                   "Test everything that the node and its options need, in some seconds");
  status->callback([&line] {
    line.command = [&line]() -> Result<void> {
      const auto is_well = cli::status(line.common, line.status);
      if (!is_well) return std::unexpected(is_well.error());
      line.is_well = *is_well;
      return {};
    };
  });
}

void define(CLI::App& app, CommandLine& line) {
  app.name("codio");
  app.require_subcommand(1);
  app.set_version_flag("--version", "codio " CODIO_VERSION);
  app.footer(
      "Examples:\n"
      "  codio serve site/         share a folder; prints its CID\n"
      "  codio get bafybei…        fetch it elsewhere, verified, from peers or a gateway\n"
      "  codio COMMAND --help      more about a command");
  add_common_options(app, line.common);
  define_add(app, line);
  define_reading(app, line);
  define_keeping(app, line);
  define_finding(app, line);
  define_id(app, line);
  define_serve(app, line);
  define_node(app, line);
  define_status(app, line);
}

void print_error(bool json, const Error& error) {
  if (json) {
    print_json({{"error", {{"code", to_string(error.code)}, {"message", error.message}}}});
  } else {
    std::fprintf(stderr, "codio: %s\n", printable(error.message).c_str());
  }
}

int fail_usage(int count, char** arguments, const std::string& message) {
  // Parsing stopped, perhaps before it came to --json.
  const bool json = std::any_of(arguments, arguments + count, [](std::string_view text) { return text == "--json"; });
  print_error(json, {ErrorCode::kMalformed, message});
  if (!json) std::fputs("Try `codio --help`, or --help after a command.\n", stderr);
  return kUsage;
}

int run(const CommandLine& line) {
  const auto done = line.command();
  if (!done && done.error().code == ErrorCode::kCancelled) return interrupted() ? kInterrupted : kFailure;
  if (!done) {
    print_error(line.common.json, done.error());
    return kFailure;
  }
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return line.is_well ? kOk : kFailure;
  if (errno != EPIPE) print_error(false, {ErrorCode::kIo, "cannot write the standard output: the disk may be full"});
  return kFailure;
}

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("Share and fetch content by its CID, among peers and browsers.");
  CommandLine line;
  define(app, line);
  try {
    app.parse(count, arguments);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return fail_usage(count, arguments, error.what());
  }
  begin_log(line.common.verbose);
  return run(line);
}

}  // namespace
}  // namespace codio::cli

int main(int count, char** arguments) { return codio::cli::main(count, arguments); }
