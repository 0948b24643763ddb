//! The long form: faults at random for as long as it is asked to. `make chaos SECONDS=600 SEED=7`.

use std::time::{Duration, Instant};

use testkit::{Market, Topology};

use super::{healthy, people::Cast, stormy, trades};
use crate::services::SERVICES;

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL to the process of one service, or to the one that there is.
    Kill(usize),
    /// SIGSTOP for a while: it is not dead, it is late.
    Freeze(usize),
    KillNats,
    FreezeNats,
    KillRedis,
    FreezeRedis,
    ShutPostgres,
    FreezePostgres,
    Restart,
}

/// SplitMix64, <https://prng.di.unimi.it/splitmix64.c>: the same seed gives the same weather.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn fault(&mut self, topology: Topology) -> Fault {
        let service = self.roll(SERVICES.len());
        match self.roll(if topology == Topology::Embedded { 3 } else { 9 }) {
            0 => Fault::Kill(service),
            1 => Fault::Freeze(service),
            2 => Fault::Restart,
            3 => Fault::KillNats,
            4 => Fault::FreezeNats,
            5 => Fault::KillRedis,
            6 => Fault::FreezeRedis,
            7 => Fault::ShutPostgres,
            _ => Fault::FreezePostgres,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "`make chaos` says how long, and with which seed")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test]
#[ignore = "as long as it is asked to: `make chaos`"]
async fn it_may_do_what_it_likes() {
    let seconds = asked("JANGTEO_CHAOS_SECONDS").unwrap_or(60);
    let seed = asked("JANGTEO_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let (end, mut dice, mut faults) = (Instant::now() + Duration::from_secs(seconds), Dice(seed), 0);
    println!("seed {seed}, {seconds} s");
    while Instant::now() < end {
        let topology = Topology::ALL[dice.roll(3)];
        let mut market = stormy(topology).start().await;
        let cast = Cast::gather(&market.client()).await;
        for _ in 0..8 {
            let fault = dice.fault(topology);
            let moment = Duration::from_millis(dice.roll(2500) as u64);
            println!("{topology:?}: {fault:?} after {moment:?}");
            storm(&mut market, &cast, fault, moment).await;
            healthy(&market, &cast, &format!("seed {seed}, fault {faults}, {fault:?}")).await;
            faults += 1;
            if Instant::now() > end {
                break;
            }
        }
    }
    println!("{faults} faults, and everything holds");
}

async fn storm(market: &mut Market, cast: &Cast, fault: Fault, moment: Duration) {
    let client = market.client();
    let strike = async {
        tokio::time::sleep(moment).await;
        strike(market, fault).await;
    };
    futures::join!(trades::everything(&client, cast), strike);
    market.restart().await;
}

/// How long something is frozen.
const FROZEN: Duration = Duration::from_secs(4);

async fn strike(market: &mut Market, fault: Fault) {
    match fault {
        Fault::Kill(service) => market.host_of(SERVICES[service].name).kill9(),
        Fault::Freeze(service) => {
            market.host_of(SERVICES[service].name).freeze();
            tokio::time::sleep(FROZEN).await;
            market.host_of(SERVICES[service].name).thaw();
        }
        Fault::Restart => market.stop().await,
        Fault::KillNats => {
            market.nats().kill9();
            tokio::time::sleep(FROZEN).await;
            market.nats().restart().await;
        }
        Fault::FreezeNats => {
            market.nats().freeze();
            tokio::time::sleep(FROZEN).await;
            market.nats().thaw();
        }
        Fault::KillRedis => {
            market.redis().kill9();
            tokio::time::sleep(FROZEN).await;
            market.redis().restart().await;
        }
        Fault::FreezeRedis => {
            market.redis().freeze();
            tokio::time::sleep(FROZEN).await;
            market.redis().thaw();
        }
        Fault::ShutPostgres => {
            market.postgres().shut().await;
            tokio::time::sleep(FROZEN).await;
            market.postgres().reopen().await;
        }
        Fault::FreezePostgres => {
            let _frozen = market.postgres().freeze().await;
            tokio::time::sleep(FROZEN).await;
        }
    }
}
