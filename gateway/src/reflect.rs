//! Descriptors from a server that describes itself.
//! <https://github.com/grpc/grpc/blob/master/doc/server-reflection.md>

use jangteo_core::{Error, Result};
use prost::Message;
use prost_reflect::{DescriptorPool, prost_types::FileDescriptorProto};
use proto::Channel;
use std::{collections::BTreeMap, time::Duration};
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(10);

enum Ask<'a> {
    Symbol(&'a str),
    File(&'a str),
}

/// Every file that `services` need, asked of the server behind `channel`.
pub(crate) async fn files(channel: Channel, services: &[&str]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for service in services {
        keep(&mut files, ask(&channel, Ask::Symbol(service)).await?)?;
    }
    loop {
        let missing = missing(&files)?;
        if missing.is_empty() {
            return Ok(files);
        }
        for name in missing {
            keep(&mut files, ask(&channel, Ask::File(&name)).await?)?;
            if !files.contains_key(&name) {
                return Err(Error::not_found("proto file", name));
            }
        }
    }
}

/// A pool of the files, whose bytes are taken as they are, so that custom options survive.
pub(crate) fn pool(files: BTreeMap<String, Vec<u8>>) -> Result<DescriptorPool> {
    let mut set = Vec::new();
    for file in files.values() {
        // `repeated FileDescriptorProto file = 1` of google.protobuf.FileDescriptorSet.
        set.push(0x0a);
        prost::encoding::encode_varint(file.len() as u64, &mut set);
        set.extend_from_slice(file);
    }
    DescriptorPool::decode(set.as_slice()).map_err(|e| Error::invalid("descriptors", "BAD_DESCRIPTORS", e.to_string()))
}

fn keep(files: &mut BTreeMap<String, Vec<u8>>, found: Vec<Vec<u8>>) -> Result<()> {
    for bytes in found {
        let file = FileDescriptorProto::decode(bytes.as_slice()).map_err(Error::internal)?;
        files.entry(file.name().to_owned()).or_insert(bytes);
    }
    Ok(())
}

fn missing(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for bytes in files.values() {
        let file = FileDescriptorProto::decode(bytes.as_slice()).map_err(Error::internal)?;
        missing.extend(file.dependency.into_iter().filter(|d| !files.contains_key(d)));
    }
    missing.sort();
    missing.dedup();
    Ok(missing)
}

/// The two versions of the protocol differ in nothing but the package.
macro_rules! asker {
    ($name:ident, $version:ident) => {
        async fn $name(channel: Channel, what: &Ask<'_>) -> Result<Vec<Vec<u8>>, tonic::Status> {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            };
            let message = match what {
                Ask::Symbol(s) => MessageRequest::FileContainingSymbol((*s).to_owned()),
                Ask::File(f) => MessageRequest::FileByFilename((*f).to_owned()),
            };
            let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let mut client = ServerReflectionClient::new(channel);
            let mut answers = client.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
            match answers.message().await?.and_then(|a| a.message_response) {
                Some(MessageResponse::FileDescriptorResponse(files)) => Ok(files.file_descriptor_proto),
                Some(MessageResponse::ErrorResponse(e)) => Err(tonic::Status::not_found(e.error_message)),
                _ => Err(tonic::Status::internal("the server answers another question")),
            }
        }
    };
}
asker!(ask_v1, v1);
asker!(ask_v1alpha, v1alpha);

async fn ask(channel: &Channel, what: Ask<'_>) -> Result<Vec<Vec<u8>>> {
    let asked = async {
        match ask_v1(channel.clone(), &what).await {
            Err(status) if status.code() == Code::Unimplemented => ask_v1alpha(channel.clone(), &what).await,
            answer => answer,
        }
    };
    let name = match &what {
        Ask::Symbol(name) | Ask::File(name) => *name,
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(files)) => Ok(files),
        Ok(Err(status)) => {
            let text = format!("server reflection for {name} failed: {}", status.message());
            Err(proto::status::from_status(status).with("why", text))
        }
        Err(_) => Err(Error::unavailable("server reflection")),
    }
}
