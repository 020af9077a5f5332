/** The words of `calicoctl profile`. */

export const profileUsage = `Usage:
  calicoctl profile show [--detailed]
  calicoctl profile add <PROFILE>
  calicoctl profile remove <PROFILE> [--no-check]
  calicoctl profile <PROFILE> tag show
  calicoctl profile <PROFILE> tag (add|remove) <TAG>
  calicoctl profile <PROFILE> rule (show|json|update)
  calicoctl profile <PROFILE> rule add (inbound|outbound) [--at=<POSITION>]
    (allow|deny) [(tcp|udp) [from [ports <PORTS>] [tag <TAG>] [cidr <CIDR>]] [to ...]
                 | (icmp|icmpv6) [type <TYPE> [code <CODE>]] [from [tag <TAG>] [cidr <CIDR>]] [to ...]
                 | [from [tag <TAG>] [cidr <CIDR>]] [to ...]]
  calicoctl profile <PROFILE> rule remove (inbound|outbound) (--at=<POSITION> | <RULE>)
`;

export const profileHelp = `Shows and changes profiles: rules and tags of the containers that name them.

${profileUsage}
Options:
  --detailed        also show the endpoints of each profile
  --no-check        remove the profile although endpoints use it
  --at=<POSITION>   position as "rule show" numbers it; without it a rule is appended

A network made with "docker network create --driver calico" is the profile of its name.
PORTS are like 80,443,8000:8080. A tag is a label with an empty value in v3's terms. "rule json" prints the rules as JSON,
"rule update" reads them from the standard input.

Examples:
  calicoctl profile add web
  calicoctl profile web rule add inbound allow tcp from tag db to ports 5432
  calicoctl profile web rule remove inbound --at=1
  calicoctl profile web rule json | calicoctl profile other rule update
`;
